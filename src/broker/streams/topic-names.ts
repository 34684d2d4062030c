// Topic names: which Kafka allows, and which would be one in its metrics.
// Promises: the rules of Kafka's Topic.java, letter by letter.
// Does not know: which topics there are but those it is given.

import { topicNameCharsMax } from '../../base/limits.ts'
import { refuse, type Refusal } from '../errors.ts'

const legal = /^[a-zA-Z0-9._-]+$/

export function judgeTopicName(name: string): Refusal | undefined {
  if (name === '') return refuse('invalidTopicName', 'Topic name is invalid: the empty string is not allowed')
  if (name === '.' || name === '..')
    return refuse('invalidTopicName', "Topic name is invalid: it cannot be '.' or '..'")
  if (name.length > topicNameCharsMax)
    return refuse(
      'invalidTopicName',
      `Topic name is invalid: the length of '${name.slice(0, 32)}…' is longer than the max allowed length ${topicNameCharsMax}`,
    )
  if (!legal.test(name))
    return refuse(
      'invalidTopicName',
      `Topic name is invalid: '${name.slice(0, topicNameCharsMax)}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'`,
    )
  return undefined
}

/** '.' and '_' are the same in Kafka's metric names: names that differ in them alone collide. */
export const metricName = (name: string): string => name.replaceAll('.', '_')

export const mayCollide = (name: string): boolean => name.includes('.') || name.includes('_')
