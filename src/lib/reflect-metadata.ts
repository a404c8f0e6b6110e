// `@peculiar/x509` builds on a container that insists on the metadata half of `Reflect`. This is that half, as far as
// it is used: metadata of classes, without inheritance or property keys. Import it before `@peculiar/x509`.

type Keyed = Map<unknown, unknown>
const store = new WeakMap<object, Keyed>()

interface ReflectWithMetadata {
  getMetadata?: (key: unknown, target: object) => unknown
  getOwnMetadata?: (key: unknown, target: object) => unknown
  defineMetadata?: (key: unknown, value: unknown, target: object) => void
}

const reflect = Reflect as ReflectWithMetadata
if (reflect.getMetadata === undefined) {
  const get = (key: unknown, target: object): unknown => store.get(target)?.get(key)
  reflect.getMetadata = get
  reflect.getOwnMetadata = get
  reflect.defineMetadata = (key, value, target) => {
    const keyed = store.get(target) ?? new Map<unknown, unknown>()
    keyed.set(key, value)
    store.set(target, keyed)
  }
}
