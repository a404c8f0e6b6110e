// The program in this process, in front of a real server and a real runner whose sandboxes are plain child processes.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CliCall, runCli, Sink } from '../../test/support/cli.ts'
import { type CliWorld, openCliWorld } from '../../test/support/cli-world.ts'
import { createProgram } from './program.ts'

let world: CliWorld
beforeAll(async () => {
  world = await openCliWorld()
})
afterAll(() => world?.close())

const bothy = (line: string, call?: CliCall) => world.bothy(line, call)

describe('help and completion', () => {
  test('every verb explains itself with an example', async () => {
    const program = createProgram({ stdout: new Sink(false), stderr: new Sink(false) } as never)
    const lines = (command: typeof program, path: string[]): string[][] =>
      command.commands.flatMap(each => {
        const here = [...path, each.name()]
        return each.name().startsWith('__') ? [] : [here, ...lines(each, here)]
      })
    const all = lines(program, [])
    expect(all.length).toBeGreaterThan(25)
    for (const path of all) {
      const { code, stdout } = await runCli([...path, '--help'])
      expect(code).toBe(0)
      expect(stdout, path.join(' ')).toMatch(/^Usage: bothy .+\n\n[A-Z]/)
      if (path[0] !== 'config' || path.length === 1)
        expect(stdout, path.join(' ')).toContain('Examples:\n  $ ')
    }
  })

  test('completes verbs, options, their values, kinds and names', async () => {
    await bothy('env create --name compl')
    const complete = async (...words: string[]) =>
      (await world.cli.run(['__complete', '--', ...words])).stdout.trim().split('\n')
    expect(await complete('')).toEqual(expect.arrayContaining(['env', 'exec', 'shell', 'explain', 'up']))
    expect(await complete('')).not.toContain('__complete')
    expect(await complete('env', '')).toEqual(expect.arrayContaining(['create', 'start', 'delete']))
    expect(await complete('exec', '')).toEqual(['compl'])
    expect(await complete('top', '')).toEqual(['compl'])
    expect(await complete('top', '--sort', '')).toEqual(['cpu', 'memory', 'io', 'network', 'name'])
    expect(await complete('env', 'stop', '-n', 'default', '')).toEqual(['compl'])
    expect(await complete('env', 'create', '--class', '')).toEqual(['small'])
    expect(await complete('get', 'env', '-o', '')).toEqual(['table', 'wide', 'json', 'yaml', 'name'])
    expect(await complete('get', '')).toContain('environments')
    expect(await complete('get', 'env', '')).toEqual(['compl'])
    expect(await complete('explain', 'environment/')).toEqual(['environment/compl'])
    expect(await complete('env', 'create', '--')).toContain('--image')
    expect(await complete('env', 'create', '')).toEqual([':files'])
    expect(await complete('exec', 'compl', '--', '')).toEqual([''])
    expect(await complete('completion', '')).toEqual(['bash', 'zsh', 'fish'])
    await bothy('env delete compl')
  })

  test('contexts are listed without their tokens, and chosen', async () => {
    const listed = await bothy('config get-contexts')
    expect(listed.stdout).toMatch(/CURRENT +NAME +SERVER +NAMESPACE\n\* +test +https:\/\/\S+ +default\n/)
    expect(listed.stdout).not.toContain('bothy_')
    expect((await bothy('config current-context')).stdout).toBe('test\n')
    expect((await bothy('config use-context test')).stdout).toBe('Switched to context test.\n')
    expect((await bothy('config use-context nowhere')).code).toBe(4)
  })
})
