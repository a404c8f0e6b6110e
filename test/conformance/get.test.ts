// Every way to read.
import { beforeAll, expect, test } from 'vitest'
import { describeKubectl, parseTable, setStatus } from '../support/kubectl.ts'
import { environment } from '../support/server.ts'

describeKubectl('get', (k, minor) => {
  beforeAll(async () => {
    await k()
      .given(
        environment('alpha', {
          metadata: { labels: { team: 'a', tier: '1' } },
          spec: { env: { ORDER: '3' } },
        }),
        environment('beta', { metadata: { labels: { team: 'b' } }, spec: { env: { ORDER: '1' } } }),
        environment('gamma', { spec: { class: 'large', env: { ORDER: '2' } } }),
      )
      .ok('create -f -')
    const image = { reference: 'example.com/base:1', digest: `sha256:${'0'.repeat(64)}` }
    await setStatus(k(), 'alpha', { phase: 'Starting', epoch: 4, image })
  })

  const names = async (line: string, ...more: string[]) =>
    (await k().ok(`get env -o name ${line}`.trimEnd(), ...more))
      .split('\n')
      .filter(each => each !== '')
      .map(each => each.replace('environment.bothy.dev/', ''))

  test("prints the kind's own columns", async () => {
    const rows = parseTable(await k().ok('get environments'))
    expect(rows).toEqual([
      { NAME: 'alpha', PHASE: 'Starting', CLASS: 'small', RUNNER: '', AGE: expect.stringMatching(/^\d+s$/) },
      { NAME: 'beta', PHASE: 'Pending', CLASS: 'small', RUNNER: '', AGE: expect.stringMatching(/^\d+s$/) },
      { NAME: 'gamma', PHASE: 'Pending', CLASS: 'large', RUNNER: '', AGE: expect.stringMatching(/^\d+s$/) },
    ])
  })

  test('-o wide adds the others', async () => {
    expect(parseTable(await k().ok('get env -o wide'))[0]).toMatchObject({
      ...{ NAME: 'alpha', EPOCH: '4', IMAGE: 'example.com/base:1', COMMIT: '' },
    })
  })

  test('finds a kind by every one of its names', async () => {
    for (const word of [
      'environments',
      'environment',
      'env',
      'envs',
      'Environment',
      'environments.bothy.dev',
    ])
      expect(await k().ok(`get ${word} alpha -o name`)).toBe('environment.bothy.dev/alpha\n')
    expect(await k().ok('get environments.v1alpha1.bothy.dev/beta -o name')).toBe(
      'environment.bothy.dev/beta\n',
    )
  })

  test('one, several, several kinds, and all that belong to the category', async () => {
    expect(parseTable(await k().ok('get env gamma alpha')).map(row => row['NAME'])).toEqual([
      'gamma',
      'alpha',
    ])
    expect(parseTable(await k().ok('get env/beta'))).toHaveLength(1)
    expect(parseTable(await k().ok('get env,runners'))).toMatchObject([
      ...['alpha', 'beta', 'gamma'].map(name => ({ NAME: `environment.bothy.dev/${name}` })),
    ])
    // Environments alone: what `delete all --all` may take with it.
    const all = (await k().ok('get all -o name')).trim().split('\n')
    expect(all).toEqual(['alpha', 'beta', 'gamma'].map(name => `environment.bothy.dev/${name}`))
  })

  test('without head, with labels, with kinds', async () => {
    expect(await k().ok('get env alpha --no-headers')).toMatch(/^alpha +Starting +small/)
    expect(parseTable(await k().ok('get env --show-labels')).map(row => row['LABELS'])).toEqual([
      'team=a,tier=1',
      'team=b',
      '<none>',
    ])
    expect(parseTable(await k().ok('get env -L team')).map(row => row['TEAM'])).toEqual(['a', 'b', ''])
    expect(await k().ok('get env alpha --show-kind')).toContain('environment.bothy.dev/alpha')
  })

  test('-o yaml and json: whole objects, and lists of whole objects', async () => {
    const object = await k().json('get env alpha')
    expect(object).toMatchObject({
      apiVersion: 'bothy.dev/v1alpha1',
      kind: 'Environment',
      metadata: {
        ...{ name: 'alpha', namespace: 'default', generation: 1, labels: { team: 'a', tier: '1' } },
        uid: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
        resourceVersion: expect.stringMatching(/^[1-9]\d*$/),
        creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      },
      spec: { desired: 'Running', class: 'small', env: { ORDER: '3' } },
      status: { phase: 'Starting', epoch: 4 },
    })
    const list = await k().json('get env')
    expect(list).toMatchObject({ kind: 'List', apiVersion: 'v1' })
    expect(list.items.map((each: typeof object) => [each.apiVersion, each.kind, each.metadata.name])).toEqual(
      ['alpha', 'beta', 'gamma'].map(name => ['bothy.dev/v1alpha1', 'Environment', name]),
    )
    expect(list.items[0]).toEqual(object)
    const yaml = await k().ok('get env alpha -o yaml')
    expect(yaml).toMatch(/^apiVersion: bothy.dev\/v1alpha1\nkind: Environment\nmetadata:\n/)
    expect(yaml).toMatch(/^ {2}env:\n {4}ORDER: "3"$/m)
  })

  test('managedFields are there, and shown when asked for', async () => {
    const shown = await k().json(minor >= 21 ? 'get env alpha --show-managed-fields' : 'get env alpha')
    expect(shown.metadata.managedFields).toMatchObject([
      {
        ...{
          manager: 'kubectl-create',
          operation: 'Update',
          apiVersion: 'bothy.dev/v1alpha1',
          fieldsType: 'FieldsV1',
        },
        fieldsV1: { 'f:spec': { 'f:env': { 'f:ORDER': {} } } },
      },
      { operation: 'Update', subresource: 'status', fieldsV1: { 'f:status': { 'f:epoch': {} } } },
    ])
    if (minor >= 21) expect((await k().json('get env alpha')).metadata.managedFields).toBeUndefined()
  })

  test('-o name, jsonpath, go-template, custom-columns', async () => {
    expect(await k().ok('get env -o name')).toBe(
      'environment.bothy.dev/alpha\nenvironment.bothy.dev/beta\nenvironment.bothy.dev/gamma\n',
    )
    expect(await k().ok('get env alpha -o jsonpath={.spec.env.ORDER}')).toBe('3')
    expect(await k().ok('get env -o', 'jsonpath={range .items[*]}{.metadata.name}={.spec.class};{end}')).toBe(
      'alpha=small;beta=small;gamma=large;',
    )
    expect(await k().ok('get env -o', 'jsonpath={.items[?(@.spec.class=="large")].metadata.name}')).toBe(
      'gamma',
    )
    expect(await k().ok('get env -o', 'go-template={{range .items}}{{.metadata.name}} {{end}}')).toBe(
      'alpha beta gamma ',
    )
    const columns = await k().ok(
      'get env -o custom-columns=WHO:.metadata.name,ORDER:.spec.env.ORDER,TEAM:.metadata.labels.team',
    )
    expect(parseTable(columns)).toEqual([
      { WHO: 'alpha', ORDER: '3', TEAM: 'a' },
      { WHO: 'beta', ORDER: '1', TEAM: 'b' },
      { WHO: 'gamma', ORDER: '2', TEAM: '<none>' },
    ])
  })

  test('--sort-by', async () => {
    const sorted = parseTable(await k().ok('get env --sort-by=.spec.env.ORDER'))
    expect(sorted.map(row => row['NAME'])).toEqual(['beta', 'gamma', 'alpha'])
    expect(sorted[2]).toMatchObject({ PHASE: 'Starting' })
    expect(await names('--sort-by={.spec.env.ORDER}')).toEqual(['beta', 'gamma', 'alpha'])
  })

  test.each([
    ['team=a', ['alpha']],
    ['team==a', ['alpha']],
    ['team!=a', ['beta', 'gamma']],
    ['team in (a, b)', ['alpha', 'beta']],
    ['team notin (a)', ['beta', 'gamma']],
    ['team', ['alpha', 'beta']],
    ['!team', ['gamma']],
    ['team=a,tier=1', ['alpha']],
    ['team,tier!=1', ['beta']],
    ['tier>0', ['alpha']],
    ['tier<1', []],
    ['team=nobody', []],
  ])('-l %s', async (selector, expected) => {
    expect(await names('-l', selector)).toEqual(expected)
  })

  test.each([
    ['metadata.name=alpha', ['alpha']],
    ['metadata.name!=alpha', ['beta', 'gamma']],
    ['metadata.namespace=default,spec.class=small', ['alpha', 'beta']],
    ['status.phase=Starting', ['alpha']],
    ['spec.class==large', ['gamma']],
    ['spec.runner=nowhere', []],
  ])('--field-selector %s', async (selector, expected) => {
    expect(await names('--field-selector', selector)).toEqual(expected)
  })

  test('a field that cannot be selected by, and a selector that is none', async () => {
    expect(await k().fails('get env --field-selector spec.image=x')).toMatch(
      /Error from server \(BadRequest\): .*field label not supported: spec.image/,
    )
    expect(await k().fails('get env -l', 'team in a')).toMatch(/unable to parse requirement|BadRequest/)
  })

  test('--chunk-size fetches in pages what is printed as one', async () => {
    const { code, stdout, stderr } = await k().run('get env --chunk-size=1 -v=6')
    expect(code).toBe(0)
    expect(parseTable(stdout).map(row => row['NAME'])).toEqual(['alpha', 'beta', 'gamma'])
    expect(stderr.match(/limit=1\b/g)).toHaveLength(3)
    expect(stderr.match(/continue=/g)).toHaveLength(2)
    expect(await names('--chunk-size=2')).toEqual(['alpha', 'beta', 'gamma'])
    expect(await names('--chunk-size=0')).toEqual(['alpha', 'beta', 'gamma'])
  })

  test('-A names the namespace', async () => {
    expect(parseTable(await k().ok('get env -A'))).toMatchObject([
      ...['alpha', 'beta', 'gamma'].map(NAME => ({ NAMESPACE: 'default', NAME })),
    ])
  })

  test('nothing there, and nothing of that kind', async () => {
    const { code, stderr } = await k().run('get runners')
    expect([code, stderr]).toEqual([0, 'No resources found in default namespace.\n'])
    expect(await k().fails('get env nobody')).toBe(
      'Error from server (NotFound): environments.bothy.dev "nobody" not found\n',
    )
    expect(await k().ok('get env nobody --ignore-not-found')).toBe('')
    expect(await k().fails('get nonsense')).toContain(`the server doesn't have a resource type "nonsense"`)
  })
})

describeKubectl('get --watch', k => {
  const create = (name: string) => k().given(environment(name)).ok('create -f -')
  const touch = (name: string, phase: string) => setStatus(k(), name, { phase })

  beforeAll(() => create('one'))

  test('-w prints what is there, then each change', async () => {
    const watching = k().start('get env -w')
    await watching.until(/^NAME +PHASE .*\none +Pending/m)
    await create('two')
    await watching.until(/^two +Pending/m)
    await touch('one', 'Creating')
    await watching.until(/^one +Creating/m)
    await k().ok('delete env two')
    const { stdout } = await watching.end()
    expect(stdout.match(/NAME/g)).toHaveLength(1)
  })

  test('--output-watch-events names them', async () => {
    const watching = k().start('get env -w --output-watch-events')
    await watching.until(/^EVENT +NAME +PHASE.*\nADDED +one/m)
    await create('three')
    await watching.until(/^ADDED +three/m)
    await touch('three', 'Creating')
    await watching.until(/^MODIFIED +three +Creating/m)
    await k().ok('delete env three')
    await watching.until(/^DELETED +three/m)
    await watching.end()
  })

  test('--watch-only leaves out what is there', async () => {
    const watching = k().start('get env --watch-only -v=6')
    // It asks for what is there all the same, to know from where to watch.
    await watching.until(/watch=true.*200/)
    await create('four')
    await watching.until(/^four +Pending/m)
    expect((await watching.end()).stdout).not.toMatch(/^one/m)
  })

  test('one object, selected objects, and names only', async () => {
    await create('five')
    const one = k().start('get env five -w')
    const selected = k().start('get env -l watched=yes -w --output-watch-events')
    const named = k().start('get env -w -o name')
    await one.until(/^five/m)
    await named.until(/environment.bothy.dev\/five/)
    await selected.until(/^$/) // It says nothing while there is nothing.
    await k().ok('label env five watched=yes')
    await selected.until(/^ADDED +five/m)
    await touch('five', 'Starting')
    await one.until(/^five +Starting/m)
    await selected.until(/^MODIFIED +five +Starting/m)
    await k().ok('label env five watched-')
    await selected.until(/^DELETED +five/m)
    await create('six')
    await named.until(/environment.bothy.dev\/six/)
    expect((await one.end()).stdout).not.toContain('six')
    await Promise.all([selected.end(), named.end()])
  })

  test('-A -w in another form', async () => {
    const watching = k().start('get env -A -w -o', 'jsonpath={.metadata.name}:{.status.phase} ')
    await watching.until(/one:Creating /)
    await touch('one', 'Starting')
    await watching.until(/one:Starting /)
    await watching.end()
  })
})
