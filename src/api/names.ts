import { z } from 'zod'
import { DNS_LABEL, DNS_SUBDOMAIN } from './dns-label.ts'

/** A DNS label (RFC 1123): what Kubernetes takes as most names. */
export const nameSchema = z
  .string()
  .max(63, 'at most 63 characters')
  .regex(DNS_LABEL, "lower-case letters, digits and '-', starting and ending with a letter or digit")

/** A DNS subdomain: what some of Kubernetes' own kinds take as names. */
export const subdomainSchema = z
  .string()
  .max(253, 'at most 253 characters')
  .regex(DNS_SUBDOMAIN, "lower-case letters, digits, '-' and '.', starting and ending with a letter or digit")

/** Names of environments appear in host names (`3000--NAME.domain`): `--` would make them ambiguous. */
export const environmentNameSchema = nameSchema.refine(name => !name.includes('--'), "must not contain '--'")

const envName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'letters, digits and _, not starting with a digit')
const envValue = z
  .string()
  .max(32_768)
  .refine(value => !value.includes('\0'), 'must not contain NUL')

/** Environment variables: name to value. */
export const envVarsSchema = z.record(envName, envValue)
