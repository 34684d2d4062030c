// Broker settings as they are said at start: each text judged by the broker's own table before anything opens.
// Promises: an unknown name or a bad value is one line that names who said it, the value and what is allowed.
// Does not know: which settings there are; the broker's table does.

import { judgeBrokerSetting } from '../broker/settings/broker-settings.ts'

/** One thing said: the text, and how the sayer calls the option (`--kafka`, `ODRADEK_KAFKA`, `odradek.yaml: kafka`). */
export interface Said {
  readonly as: string
  readonly text: string
}

export function settingProblems(settings: ReadonlyMap<string, Said>): string[] {
  const problems: string[] = []
  for (const [name, { as, text }] of settings) {
    const wrong = name === 'durability' ? 'it is said as the option durability' : judgeBrokerSetting(name, text)
    if (wrong !== undefined) problems.push(`${as}: ${JSON.stringify(text)} is not allowed: ${wrong}`)
  }
  return problems
}
