/** Runs once around a whole `vitest` run. */
export default function setup(): void {}
