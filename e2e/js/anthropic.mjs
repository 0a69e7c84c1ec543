// @anthropic-ai/bedrock-sdk with the argument bedrock, which speaks InvokeModel; else @anthropic-ai/sdk, which speaks
// Anthropic's own API.
import assert from 'node:assert/strict'
import Anthropic from '@anthropic-ai/sdk'
import { AnthropicBedrock } from '@anthropic-ai/bedrock-sdk'
import { AWS_REGION, CITED, CUT, ENDPOINT, PROFILE, PROFILE_NAME, THROTTLED, account, apiKey, checkWeather, drain, failed, picture, question, refused, told, weather } from './session.mjs'

const bedrock = process.argv[2] === 'bedrock'
const open = credentials =>
  bedrock ? new AnthropicBedrock({ baseURL: ENDPOINT, awsRegion: AWS_REGION, maxRetries: 0, ...credentials }) : new Anthropic({ baseURL: ENDPOINT + '/anthropic', maxRetries: 0, ...credentials })
const client = open(bedrock ? {} : { apiKey })
const [operation, streaming] = bedrock ? ['InvokeModel', 'InvokeModelWithResponseStream'] : ['Messages', 'Messages']
const ask = (...content) => [{ role: 'user', content: [{ type: 'text', text: question }, ...content] }]
const text = message => message.content.map(b => b.text ?? '').join('')

async function create({ resource, ...params }, c = client) {
  const message = await c.messages.create({ model: PROFILE, max_tokens: 200, ...params })
  assert.equal(message.type, 'message')
  assert.equal(message.role, 'assistant')
  told(operation, message.stop_reason, message.usage.input_tokens, message.usage.output_tokens, resource ?? params.model)
  return message
}

async function stream(params) {
  const stream = client.messages.stream({ model: PROFILE, max_tokens: 200, ...params })
  const events = (await drain(stream)).map(e => e.type)
  assert.equal(events[0], 'message_start')
  assert.deepEqual(events.slice(-2), ['message_delta', 'message_stop'])
  const message = await stream.finalMessage()
  told(streaming, message.stop_reason, message.usage.input_tokens, message.usage.output_tokens, params.model)
  return message
}

// Text: by ARN and by name, and the stream says the same.
const whole = await create({ messages: ask(), system: 'You are terse.' })
assert.equal(whole.stop_reason, 'end_turn')
assert.match(text(whole), /river/i)
assert.equal(text(await create({ resource: PROFILE, model: PROFILE_NAME, messages: ask(), system: 'You are terse.' })), text(whole))
const streamed = await stream({ messages: ask(), system: 'You are terse.' })
assert.equal(text(streamed), text(whole))
assert.equal(streamed.usage.output_tokens, whole.usage.output_tokens)
const short = await create({ messages: ask(), max_tokens: 3 })
assert.equal(short.stop_reason, 'max_tokens')
assert.equal(short.usage.output_tokens, 3)

// A tool: its input, whole and in pieces, and its result back.
const tools = [{ name: weather.name, description: weather.description, input_schema: weather.schema }]
const used = await create({ messages: ask(), tools, tool_choice: { type: 'any' } })
assert.equal(used.stop_reason, 'tool_use')
const use = used.content.find(b => b.type === 'tool_use')
assert.equal(use.name, weather.name)
checkWeather(use.input)
const pieces = await stream({ messages: ask(), tools, tool_choice: { type: 'tool', name: weather.name } })
assert.equal(pieces.stop_reason, 'tool_use')
checkWeather(pieces.content.find(b => b.type === 'tool_use').input)
const result = { type: 'tool_result', tool_use_id: use.id, content: 'overcast' }
const then = await create({ messages: [...ask(), { role: 'assistant', content: used.content }, { role: 'user', content: [result] }], tools })
assert.equal(then.stop_reason, 'end_turn')
assert.match(text(then), /overcast/)

// A picture.
const seen = await create({ messages: ask({ type: 'image', source: { type: 'base64', media_type: 'image/png', data: picture } }), system: 'You are terse.' })
assert.match(text(seen), /image/)
assert.ok(seen.usage.input_tokens > whole.usage.input_tokens)

// A search result and a document to cite from, the citations of the answer, and these back.
const found = [
  { type: 'search_result', source: 'https://rivers.example', title: 'Rivers', content: [{ type: 'text', text: 'The Seine runs through Paris.' }], citations: { enabled: true } },
  { type: 'document', source: { type: 'content', content: [{ type: 'text', text: 'Paris has 37 bridges.' }] }, citations: { enabled: true } },
  { type: 'text', text: question },
]
const cited = await create({ model: CITED, messages: [{ role: 'user', content: found }] })
assert.equal(text(cited), 'The Seine.')
assert.deepEqual(cited.content[0].citations, [
  { type: 'search_result_location', search_result_index: 0, start_block_index: 0, end_block_index: 1, source: 'https://rivers.example', title: 'Rivers', cited_text: 'The Seine runs through Paris.' },
])
const citing = await stream({ model: CITED, messages: [{ role: 'user', content: found }, { role: 'assistant', content: cited.content }, { role: 'user', content: 'Are you sure?' }] })
assert.deepEqual(citing.content, cited.content)

// Errors are the SDK's classes, before an answer and in the middle of one.
const send = (model, c = client) => c.messages.create({ model, max_tokens: 200, messages: ask() })
await refused(send('anthropic.claude-nine'), e =>
  bedrock ? e instanceof Anthropic.BadRequestError && e.message.includes('The provided model identifier is invalid.') : e instanceof Anthropic.NotFoundError && e.type === 'not_found_error')
await refused(send(THROTTLED), e => e instanceof Anthropic.RateLimitError)
failed(operation, THROTTLED)
await refused(drain(client.messages.stream({ model: CUT, max_tokens: 200, messages: ask() })), e => e instanceof Anthropic.APIError && e.type === (bedrock ? 'modelStreamErrorException' : 'api_error'))
failed(streaming, CUT)
const stranger = open(bedrock && !apiKey ? { awsAccessKey: 'AKIANOBODYKNOWSTHIS0', awsSecretKey: 'wrong' } : { apiKey: 'ABSKbm9ib2R5' })
await refused(send(PROFILE, stranger), e => e instanceof (bedrock ? Anthropic.PermissionDeniedError : Anthropic.AuthenticationError))

// What Bedrock's client does not have.
if (!bedrock) {
  const { input_tokens } = await client.messages.countTokens({ model: PROFILE, messages: ask(), system: 'You are terse.' })
  assert.equal(input_tokens, whole.usage.input_tokens)
  const models = await drain(client.models.list({ limit: 100 }))
  assert.equal(models.find(m => m.id === PROFILE).display_name, PROFILE_NAME)
  assert.equal(new Set(models.map(m => m.id)).size, models.length)
  assert.equal((await client.models.retrieve(PROFILE)).id, PROFILE)
  await refused(client.models.retrieve('claude-nine'), e => e instanceof Anthropic.NotFoundError)
  const bearer = new Anthropic({ baseURL: ENDPOINT + '/anthropic', maxRetries: 0, apiKey: null, authToken: apiKey })
  assert.equal(text(await create({ messages: ask(), system: 'You are terse.' }, bearer)), text(whole))
}
account()
