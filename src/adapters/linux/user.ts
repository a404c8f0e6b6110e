// Who a command runs as: names are looked up in the sandbox's own passwd and group files, read as hostile text.

import { Fault } from '../../lib/fault.ts'
import type { ExecUser } from './exec.ts'
import { IDS_PER_SLOT } from './slots.ts'

const ROOT: ExecUser = {
  uid: 0,
  gid: 0,
  additionalGids: [],
  env: ['HOME=/root', 'USER=root', 'LOGNAME=root'],
}

/** `name`, `uid`, either with `:group`; '' is root. Root needs no look-up, which is what makes the common case fast. */
export async function resolveUser(
  wanted: string,
  readInside: (path: string) => Promise<string>,
): Promise<ExecUser> {
  if (wanted === '' || wanted === 'root' || wanted === '0' || wanted === 'root:root' || wanted === '0:0')
    return ROOT
  const [passwd, group] = await Promise.all(['/etc/passwd', '/etc/group'].map(readInside))
  return findUser(passwd ?? '', group ?? '', wanted)
}

/** Pure part of `resolveUser`. Faults with `invalid` when there is no such user or group. */
export function findUser(passwd: string, group: string, wanted: string): ExecUser {
  const [userWord = '', groupWord] = wanted.split(':')
  const users = passwd.split('\n').map(line => line.split(':'))
  const groups = group.split('\n').map(line => line.split(':'))
  const numeric = /^[0-9]{1,6}$/.test(userWord)
  const entry = users.find(fields => (numeric ? fields[2] === userWord : fields[0] === userWord))
  if (entry === undefined && !numeric) throw missing('user', userWord)
  const uid = id(entry?.[2] ?? userWord)
  const named = groups.find(fields => fields[0] === groupWord)?.[2]
  if (groupWord !== undefined && named === undefined && !/^[0-9]{1,6}$/.test(groupWord))
    throw missing('group', groupWord)
  const gid = groupWord === undefined ? id(entry?.[3] ?? '0') : id(named ?? groupWord)
  const name = entry?.[0] ?? userWord
  const additionalGids =
    groupWord !== undefined
      ? []
      : groups
          .filter(fields => (fields[3] ?? '').split(',').includes(name))
          .map(fields => id(fields[2] ?? ''))
  const home = entry?.[5]?.startsWith('/') === true ? entry[5] : '/'
  return { uid, gid, additionalGids, env: [`HOME=${home}`, `USER=${name}`, `LOGNAME=${name}`] }
}

function id(text: string): number {
  const number = Number(text)
  if (Number.isInteger(number) && number >= 0 && number < IDS_PER_SLOT) return number
  throw new Fault(
    'invalid',
    'user-id',
    `id '${text}' is outside the sandbox's range 0 to ${IDS_PER_SLOT - 1}`,
  )
}

const missing = (what: string, name: string) =>
  new Fault('invalid', 'user-unknown', `no ${what} '${name}' in the environment`, {
    hint: 'names come from /etc/passwd and /etc/group inside; --user root always works',
  })
