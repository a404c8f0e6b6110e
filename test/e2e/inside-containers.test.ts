// Container engines in an environment: Docker, and podman with and without root. What they run is made inside, of one
// static program; no registry is asked.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { type Machines, openMachines } from '../support/machine.ts'
import { lacking, titled } from '../support/requirements.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['mmdebstrap'] })
const noFuse = /\bfuse$/m.test(readFileSync('/proc/filesystems', 'utf8'))
  ? undefined
  : 'this kernel has no FUSE'

// In /srv, where everybody can read it.
const MAKE_ROOT = `mkdir -p /srv/root/bin /srv/root/www /srv/build; cp /bin/busybox /srv/root/bin/; cd /srv/root/bin
  for name in sh echo cat ls httpd wget sleep true id; do ln -sf busybox $name; done
  echo served >/srv/root/www/index.html; tar -C /srv/root -cf /srv/root.tar .
  printf 'FROM tiny\\nRUN echo built >/made\\nCMD ["cat", "/made"]\\n' >/srv/build/Dockerfile`
const LIMIT = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
const FETCH = (url: string) => `for i in $(seq 50); do curl -fs ${url} && break; sleep 0.1; done`

describe.skipIf(reason !== undefined)(titled('containers in an environment', reason), () => {
  let machines: Machines
  const run = (script: string, user?: string) => machines.run('box', script, user)

  beforeAll(async () => {
    machines = await openMachines({ memory: '2Gi' })
    await machines.create('box')
    await run(`${MAKE_ROOT}; useradd -m -s /bin/bash ada`)
  }, 900_000)
  afterAll(() => machines?.close())

  describe('Docker', () => {
    beforeAll(async () => {
      await run(
        'setsid dockerd >/var/log/dockerd.log 2>&1 & for i in $(seq 300); do docker info >/dev/null 2>&1 && exit; sleep 0.1; done; tail -5 /var/log/dockerd.log; exit 1',
      )
      await run('docker import /srv/root.tar tiny')
    }, 60_000)
    afterAll(async () => {
      await run(
        'kill $(cat /run/docker.pid); for i in $(seq 100); do [ -e /run/docker.pid ] || exit 0; sleep 0.1; done',
      )
    })

    test('stacks layers instead of copying them', async () => {
      expect(await run("docker info --format '{{.Driver}}' 2>/dev/null")).toBe('overlay2')
      expect(await run('stat -f -c %T /var/lib/docker')).toBe('ext2/ext3')
    })

    test('runs containers, privileged ones and limited ones', async () => {
      const script = `docker run --rm tiny echo run; docker run --rm --privileged tiny echo privileged; docker run --rm --network host tiny echo host
        docker run --rm -m 64m --cpus 0.5 --pids-limit 32 tiny sh -c '${LIMIT}'`
      expect(await run(script)).toBe(`run\nprivileged\nhost\n${64 * 2 ** 20}`)
    })

    test('gives them networks and publishes their ports', async () => {
      const script = `docker run -d --name web -p 8081:80 tiny httpd -f -h /www >/dev/null; ${FETCH('http://127.0.0.1:8081/')}
        docker exec web echo exec; docker rm -f web >/dev/null`
      expect(await run(script)).toBe('served\nexec')
    })

    test.each([
      ['its own builder', 0],
      ['BuildKit', 1],
    ])('builds images with %s', async (_name, buildKit) => {
      const script = `export DOCKER_BUILDKIT=${buildKit}; docker build --no-cache -q -t made /srv/build >/dev/null 2>&1; docker run --rm made`
      expect(await run(script)).toBe('built')
    })

    test('composes them', async () => {
      const project = `mkdir -p /srv/compose; cd /srv/compose; cat >docker-compose.yml <<END
version: "3"
services:
  web: { image: tiny, command: ["httpd", "-f", "-h", "/www"] }
  client: { image: tiny, command: ["sh", "-c", "until wget -q -O - http://web/; do sleep 0.1; done"], depends_on: [web] }
END`
      const script = `${project}
        docker-compose up -d >/dev/null 2>&1; docker wait compose_client_1; docker logs compose_client_1
        docker-compose kill >/dev/null 2>&1; docker-compose down >/dev/null 2>&1`
      expect(await run(script)).toBe('0\nserved')
    })
  })

  test('podman runs and builds them as root', async () => {
    const script = `podman import -q /srv/root.tar tiny >/dev/null; podman run --rm tiny echo run; podman run --rm -m 64m tiny sh -c '${LIMIT}'
      podman run -d --name web -p 8082:80 tiny httpd -f -h /www >/dev/null; ${FETCH('http://127.0.0.1:8082/')}; podman rm -f -t 0 web >/dev/null
      podman build -q -t made /srv/build >/dev/null; podman run --rm made; podman info --format '{{.Store.GraphDriverName}}'`
    expect(await run(script)).toBe(`run\n${64 * 2 ** 20}\nserved\nbuilt\noverlay`)
  })

  test.skipIf(noFuse !== undefined)(titled('podman runs and builds them without root', noFuse), async () => {
    // By itself it would copy layers, for its folder lies on an overlay; with FUSE it can stack them there.
    const script = `export STORAGE_DRIVER=overlay; podman import -q /srv/root.tar tiny >/dev/null 2>&1; podman run --rm tiny sh -c 'echo run; id -u'; podman build -q -t made /srv/build >/dev/null
      podman run --rm made; podman unshare cat /proc/self/uid_map | wc -l; podman info --format '{{.Store.GraphDriverName}}'`
    expect(await run(script, 'ada')).toBe('run\n0\nbuilt\n2\noverlay')
  })
})
