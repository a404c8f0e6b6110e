// What apt and dpkg print without a terminal; their wording is fixed by LC_ALL=C. A line that is not recognized is
// no progress worth telling, nothing worse.
const TOTAL = /^(?:\d+ upgraded, )?(\d+) newly installed/
const STEPS: readonly (readonly [RegExp, string])[] = [
  [/^(?:Get|Hit):\d+ \S+ \S+ \S+ (\S+) \S+ \S+ \[/, 'downloading'],
  [/^(?:Get|Hit):\d+ \S+ \S+ (InRelease|Release)/, 'reading package lists'],
  [/^Unpacking (\S+?)(?::\S+)? \(/, 'unpacking'],
  [/^Setting up (\S+?)(?::\S+)? \(/, 'setting up'],
  [/^Updating certificates/, 'adding certificates'],
]

/** Turns the lines of a bootstrap into sentences; undefined for lines that say nothing new. */
export function bootstrapProgress(): (line: string) => string | undefined {
  const done = new Map<string, number>()
  return line => {
    if (TOTAL.test(line)) return undefined
    for (const [pattern, step] of STEPS) {
      const match = pattern.exec(line)
      if (match === null) continue
      const count = (done.get(step) ?? 0) + 1
      done.set(step, count)
      return match[1] === undefined || step === 'reading package lists'
        ? step
        : `${step} ${match[1]} (package ${count})`
    }
    return undefined
  }
}
