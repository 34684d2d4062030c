// The header x-delay: for how long a message is to wait before it is routed.
// Promises: read as the plugin rabbitmq_delayed_message_exchange reads it (numbers of any width, numbers as text); what
// waits bears the negative delay, so that it is not delayed once more.
// Does not know: exchanges, where messages wait.

import {
  fieldNumber,
  fieldText,
  findField,
  int32Field,
  int64Field,
  withField,
  type Field,
  type FieldTable,
} from '../../../base/fields.ts'
import { PropertyScan } from '../../../base/property-scan.ts'
import { withHeaders } from '../../../base/properties.ts'

const headerName = 'x-delay'
/** The plugin's limit (Erlang's for timers): 49 days. What asks for more is not delayed at all, as there. */
export const delayMsMax = 0xffff_ffff

const scan = new PropertyScan()

function headersOf(properties: Buffer): FieldTable | undefined {
  scan.scan(properties)
  return scan.headersAt < 0 || scan.bytes.indexOf(headerName, scan.headersAt) < 0 ? undefined : scan.headers()
}

/** ms; undefined: at once. */
export function delayAsked(properties: Buffer): number | undefined {
  const headers = headersOf(properties)
  const delayMs = headers === undefined ? undefined : milliseconds(findField(headers, headerName))
  return delayMs !== undefined && delayMs > 0 && delayMs <= delayMsMax ? delayMs : undefined
}

/** The properties with which a message waits, and is delivered. */
export function waitingProperties(properties: Buffer): Buffer {
  const headers = headersOf(properties)
  const delayMs = headers === undefined ? undefined : milliseconds(findField(headers, headerName))
  if (headers === undefined || delayMs === undefined || delayMs <= 0) return properties
  const negative = delayMs <= 0x7fff_ffff ? int32Field(-delayMs) : int64Field(-delayMs)
  return withHeaders(properties, withField(headers, headerName, negative))
}

/** How long a message with the properties of waitingProperties() is to wait, ms. */
export function delayOfWaiting(properties: Buffer): number {
  const headers = headersOf(properties)
  const delayMs = headers === undefined ? undefined : milliseconds(findField(headers, headerName))
  return delayMs === undefined ? 0 : Math.max(0, -delayMs)
}

function milliseconds(field: Field | undefined): number | undefined {
  if (field === undefined) return undefined
  const whole = fieldNumber(field)
  if (whole !== undefined) return whole
  switch (field.type) {
    case 'float32':
    case 'float64':
      return Number.isFinite(field.value) ? Math.round(field.value) : undefined
    default: {
      const text = fieldText(field)
      return text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : undefined
    }
  }
}
