// The program in this process, in front of a real server and a real runner whose sandboxes are plain child processes.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { type CliCall } from '../../test/support/cli.ts'
import { type CliWorld, openCliWorld } from '../../test/support/cli-world.ts'

let world: CliWorld
beforeAll(async () => {
  world = await openCliWorld()
})
afterAll(() => world?.close())

const bothy = (line: string, call?: CliCall) => world.bothy(line, call)

describe('objects of any kind', () => {
  const manifest = (spec: string) =>
    `apiVersion: bothy.dev/v1alpha1\nkind: EnvironmentClass\nmetadata: { name: medium, labels: { size: m } }\nspec: ${spec}\n`
  const admin = (line: string, stdin = '') =>
    bothy(line, { stdin, env: { BOTHY_TOKEN: world.server.tokens.admin } })

  test('apply creates, changes what changed, and removes what is no longer said', async () => {
    expect((await admin('apply -f -', manifest('{ image: a, memory: 8Gi, description: x }'))).stdout).toBe(
      'environmentclass.bothy.dev/medium created\n',
    )
    expect((await admin('apply -f -', manifest('{ image: a, memory: 8Gi, description: x }'))).stdout).toBe(
      'environmentclass.bothy.dev/medium unchanged\n',
    )
    const { stdout } = await admin('apply -f - -o json', manifest('{ image: b, memory: 8Gi }'))
    expect(JSON.parse(stdout).spec).toEqual({ image: 'b', memory: '8Gi', disk: '20Gi', pids: 4096 })
    expect((await admin('get class -l size=m -o name')).stdout).toBe('environmentclass.bothy.dev/medium\n')
    expect((await admin('delete -f -', manifest('{}'))).stdout).toBe(
      'environmentclass default/medium deleted\n',
    )
    expect((await admin('delete class medium --ignore-not-found')).code).toBe(0)
    expect((await admin('delete class medium')).code).toBe(4)
  })

  test('apply owns what the file says: others keep theirs, and conflicts are told with a way out', async () => {
    await admin('apply -f -', manifest('{ image: a, memory: 8Gi }'))
    const other = await admin('apply -f - --field-manager other', manifest('{ description: mine }'))
    expect(other.stdout).toBe('environmentclass.bothy.dev/medium configured\n')
    // What one file does not mention stays, when another file does.
    expect((await admin('apply -f -', manifest('{ image: a }'))).code).toBe(0)
    const now = JSON.parse((await admin('get class medium -o json')).stdout)
    expect(now.spec).toMatchObject({ image: 'a', description: 'mine', memory: '4Gi' })
    const refused = await admin('apply -f -', manifest('{ image: a, description: no }'))
    expect(refused).toMatchObject({ code: 5, stdout: '' })
    expect(refused.stderr).toContain('"other"')
    expect(refused.stderr).toContain('.spec.description')
    expect(refused.stderr).toContain('hint: leave these fields out of the file')
    const forced = manifest('{ image: a, description: no }')
    expect((await admin('apply -f - --server-side --force-conflicts', forced)).code).toBe(0)
    // An object that was read can be applied as it is.
    const { stdout } = await admin('get class medium -o yaml')
    expect((await admin('apply -f -', stdout)).stdout).toMatch(/medium (unchanged|configured)\n$/)
    expect((await admin('apply -f - --field-manager=', manifest('{}'))).code).toBe(2)
    await admin('delete class medium')
  })

  test('a file comes after what was set by hand with this program, or before anybody kept account', async () => {
    const file = (spec: string) =>
      `apiVersion: bothy.dev/v1alpha1\nkind: Environment\nmetadata: { name: hand }\nspec: ${spec}\n`
    await bothy('env create --name hand')
    await bothy('env stop hand')
    const { stdout, stderr } = await bothy('apply -f -', { stdin: file('{ desired: Running }') })
    expect({ stdout, stderr }).toEqual({ stdout: 'environment.bothy.dev/hand configured\n', stderr: '' })
    await bothy('env start hand')
    await bothy('apply -f - --field-manager other', { stdin: file('{ env: { A: "1" } }') })
    const both = await bothy('apply -f -', { stdin: file('{ desired: Stopped, env: { A: "2" } }') })
    expect(both).toMatchObject({ code: 5, stderr: expect.stringContaining('"other"') })
    expect(JSON.parse((await bothy('env get hand -o json')).stdout).spec.desired).toBe('Running')
    await bothy('env delete hand')
    // Made without a writer, as the first start makes its class.
    const small = manifest('{ image: "oci:tiny", memory: 3Gi }').replace('medium', 'small')
    expect((await admin('apply -f -', small)).stdout).toBe('environmentclass.bothy.dev/small configured\n')
  })

  test('a start or stop and a file that leaves it open do not fight', async () => {
    const file = 'apiVersion: bothy.dev/v1alpha1\nkind: Environment\nmetadata: { name: kept }\nspec: {}\n'
    const apply = () => bothy('apply -f -', { stdin: file })
    expect((await apply()).stdout).toBe('environment.bothy.dev/kept created\n')
    await bothy('env stop kept')
    expect((await apply()).stdout).toBe('environment.bothy.dev/kept unchanged\n')
    const object = JSON.parse((await bothy('get env kept -o json --show-managed-fields')).stdout)
    expect((await bothy('get env -o yaml')).stdout).not.toContain('managedFields')
    expect(object.spec.desired).toBe('Stopped')
    const managers = object.metadata.managedFields.map(({ manager }: { manager: string }) => manager)
    expect(managers).toEqual(expect.arrayContaining(['bothy', 'bothy-apply']))
    await bothy('env delete kept')
  })

  test('a malformed manifest changes nothing and says where', async () => {
    const both = `${manifest('{ image: a }')}---\nkind: [\n`
    const { code, stderr } = await admin('apply -f -', both)
    expect(code).toBe(2)
    expect(stderr).toMatch(/read standard input:\d+:\d+: /)
    expect((await admin('get class medium')).code).toBe(4)
    const wrong = await admin('apply -f -', manifest('{ image: a, memry: 8Gi }'))
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('memry') })
  })

  test('the manifests that are shipped along are good ones', async () => {
    const folder = new URL('../../examples/manifests/', import.meta.url).pathname
    const files = ['environment-class.yaml', 'runner.yaml', 'empty-environment.yaml', 'environment.yaml']
    for (const file of files) {
      const { code, stderr } = await admin(`apply -f ${folder}${file}`)
      expect({ file, code, stderr }).toEqual({ file, code: 0, stderr: '' })
    }
    const { stdout } = await admin('get runners -o name')
    expect(stdout).toContain('runner.bothy.dev/rack-1')
    for (const file of files.toReversed()) await admin(`delete -f ${folder}${file}`)
  })

  test('a member may not change classes, and is told so', async () => {
    const { code, stderr } = await bothy('apply -f -', { stdin: manifest('{ image: a }') })
    expect(code).toBe(3)
    expect(stderr).toContain('error: ')
  })

  test('watch shows what there is and every change, and ends quietly', async () => {
    const stop = new AbortController()
    let seen = ''
    const watching = bothy('get env -w', {
      signal: stop.signal,
      onOutput: text => {
        seen += text
        if (/watched +Stopped/.test(seen)) stop.abort()
      },
    })
    await bothy('env create --name watched')
    await bothy('env stop watched')
    const { code, stdout } = await watching
    expect(code).toBe(0)
    expect(stdout.match(/NAME/g)?.length ?? 0).toBeLessThanOrEqual(1)
    expect(stdout).toMatch(/watched +Running[\s\S]*watched +Stopping[\s\S]*watched +Stopped/)
    await bothy('env delete watched')
    const documents = parseAllDocuments((await bothy('get class -o yaml')).stdout)
    expect(documents).toHaveLength(1)
  })

  test('what a server says is never obeyed by a terminal', async () => {
    const evil = 'x\u001b]0;owned\u0007'
    await admin('apply -f -', manifest(JSON.stringify({ image: 'a', description: evil })))
    for (const line of ['get class medium -o yaml', 'get class medium -o json', 'explain class/medium']) {
      const { stdout } = await bothy(line, { tty: true, env: { NO_COLOR: '1' } })
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
    }
    expect(JSON.parse((await bothy('get class medium -o json', { tty: true })).stdout).spec.description).toBe(
      evil,
    )
    await admin('delete class medium')
  })
})
