// What every script is given by js_test.go, what it asks, and its account of what it was told.
import assert from 'node:assert/strict'

export const {
  ENDPOINT, // the server's URL
  AWS_REGION,
  AWS_BEARER_TOKEN_BEDROCK: apiKey, // where an API key is what the script is to use
  PROFILE, // the ARN of an application profile
  PROFILE_NAME,
  EMBEDDINGS, // the ARN of one for a model that makes embeddings
  THROTTLED, // the ARN of one whose model always answers that there is too much to do
  CITED, // the ARN of one whose model cites what it is given
  CUT, // the ARN of one whose model breaks in the middle of each answer
} = process.env

export const question = 'Which river runs through Paris?'

// One red point.
export const picture = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC'

export const weather = {
  name: 'get_weather',
  description: 'Weather for a city',
  schema: {
    type: 'object',
    properties: { city: { type: 'string' }, days: { type: 'integer', minimum: 1, maximum: 7 } },
    required: ['city', 'days'],
    additionalProperties: false,
  },
}

export function checkWeather(input) {
  assert.deepEqual(Object.keys(input).sort(), ['city', 'days'])
  assert.equal(typeof input.city, 'string')
  assert.ok(Number.isInteger(input.days) && input.days >= 1 && input.days <= 7, `days: ${input.days}`)
}

const calls = []

// told notes a call that was answered: its usage, and in Converse's words why the answer ended.
export function told(operation, stop_reason, input_tokens, output_tokens, resource_arn = PROFILE) {
  assert.ok(Number.isInteger(input_tokens) && input_tokens > 0, `${operation}: ${input_tokens} tokens in`)
  assert.ok(Number.isInteger(output_tokens) && output_tokens >= 0, `${operation}: ${output_tokens} tokens out`)
  calls.push({ operation, resource_arn, status: 'completed', stop_reason, input_tokens, output_tokens })
}

// failed notes a call that a model has failed.
export function failed(operation, resource_arn) {
  calls.push({ operation, resource_arn, status: 'failed' })
}

// account prints the calls in their order. js_test.go compares the ledger.
export function account() {
  console.log(JSON.stringify(calls))
}

// refused expects that promise ends with an error for which check holds.
export async function refused(promise, check) {
  await assert.rejects(promise, e => {
    assert.ok(check(e), e)
    return true
  })
}

// drain reads a stream to its end.
export async function drain(stream) {
  const events = []
  for await (const e of stream) events.push(e)
  return events
}
