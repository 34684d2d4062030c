// Policies over HTTP, users' and operators': listed, set, deleted; the routes of RabbitMQ's management.
// Promises: what is wrong with a policy is said in the broker's own sentence.
// Does not know: which settings there are, which policy counts where (the broker judges).

import type { HttpResponse } from '../../base/world.ts'
import { isRefusal } from '../../broker/errors.ts'
import type { PolicyCall, PolicyView } from '../../broker/queue-door.ts'
import { refused } from './refused.ts'
import { done, failed, json, route, type Asked, type Route } from './routing.ts'
import { Wanted } from './wanted.ts'

const policyPriorityMax = 2 ** 31 - 1

const policyJson = (policy: PolicyView): Record<string, unknown> => ({
  vhost: '/',
  name: policy.name,
  pattern: policy.pattern,
  'apply-to': policy.appliesTo,
  priority: policy.priority,
  definition: policy.definition,
})

const listPolicies =
  (isOperators: boolean) =>
  ({ session }: Asked): HttpResponse => {
    const policies = session.queues.listPolicies()
    if (isRefusal(policies)) return refused(policies)
    return json(200, policies.filter((policy) => policy.isOperators === isOperators).map(policyJson))
  }

const setPolicy =
  (isOperators: boolean) =>
  async ({ session, parts, body }: Asked): Promise<HttpResponse> => {
    const wanted = new Wanted(body)
    const policy: PolicyCall = {
      name: parts.name,
      pattern: wanted.text('pattern'),
      appliesTo: wanted.text('apply-to', 'all') as PolicyCall['appliesTo'],
      priority: wanted.whole('priority', 0, policyPriorityMax),
      definition: wanted.object('definition') as PolicyCall['definition'],
    }
    const outcome = await session.queues.setPolicy(policy, isOperators)
    return isRefusal(outcome) ? refused(outcome) : done(204)
  }

const deletePolicy =
  (isOperators: boolean) =>
  async ({ session, parts }: Asked): Promise<HttpResponse> => {
    const policies = session.queues.listPolicies()
    if (isRefusal(policies)) return refused(policies)
    if (!policies.some((one) => one.name === parts.name && one.isOperators === isOperators))
      return failed(404, 'Object Not Found', `${isOperators ? 'operator policy' : 'policy'} '${parts.name}' not found`)
    const outcome = await session.queues.deletePolicy(parts.name, isOperators)
    return isRefusal(outcome) ? refused(outcome) : done(204)
  }

export const policyRoutes: readonly Route[] = [
  route('GET', '/api/policies', listPolicies(false)),
  route('GET', '/api/policies/:vhost', listPolicies(false)),
  route('PUT', '/api/policies/:vhost/:name', setPolicy(false)),
  route('DELETE', '/api/policies/:vhost/:name', deletePolicy(false)),
  route('GET', '/api/operator-policies', listPolicies(true)),
  route('GET', '/api/operator-policies/:vhost', listPolicies(true)),
  route('PUT', '/api/operator-policies/:vhost/:name', setPolicy(true)),
  route('DELETE', '/api/operator-policies/:vhost/:name', deletePolicy(true)),
]
