import { z } from 'zod'

/**
 * The full name of a device as the Container Device Interface writes it: `vendor.com/class=name`. See "CDI Kind" and
 * "devices" in SPEC.md of cncf-tags/container-device-interface.
 */
export const DEVICE_NAME =
  /^[A-Za-z](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?\/[A-Za-z](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?=[A-Za-z0-9](?:[A-Za-z0-9_.:-]{0,61}[A-Za-z0-9])?$/

export const deviceNameSchema = z
  .string()
  .regex(DEVICE_NAME, 'the full name of a CDI device such as nvidia.com/gpu=all')
