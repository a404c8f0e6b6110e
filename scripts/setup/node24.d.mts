export const ROOT: string
export function findNode24(): string | undefined
export function toolEnvironment(): NodeJS.ProcessEnv
