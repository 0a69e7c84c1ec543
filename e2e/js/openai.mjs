// openai against /openai/v1, with an API key where there is one, else with signatures of AWS: Chat Completions, Responses,
// embeddings, models.
import assert from 'node:assert/strict'
import OpenAI, { BedrockOpenAI } from 'openai'
import { bedrock } from 'openai/providers/bedrock/aws'
import { AWS_REGION, CUT, EMBEDDINGS, ENDPOINT, PROFILE, PROFILE_NAME, THROTTLED, account, apiKey, checkWeather, drain, failed, picture, question, refused, told, weather } from './session.mjs'

const baseURL = ENDPOINT + '/openai/v1'
const open = apiKey => new OpenAI({ baseURL, apiKey, maxRetries: 0 })
const sign = keys => new OpenAI({ provider: bedrock({ region: AWS_REGION, baseURL, ...keys }), maxRetries: 0 })
const client = apiKey ? open(apiKey) : sign()

// Chat Completions.

const stops = { stop: 'end_turn', length: 'max_tokens', tool_calls: 'tool_use' }
const ask = (...content) => [{ role: 'system', content: 'You are terse.' }, { role: 'user', content: [{ type: 'text', text: question }, ...content] }]

function completed({ object, usage, choices: [choice] }) {
  assert.equal(object, 'chat.completion')
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
  told('ChatCompletions', stops[choice.finish_reason], usage.prompt_tokens, usage.completion_tokens)
  return { usage, ...choice }
}
const chat = async (params, c = client) => completed(await c.chat.completions.create({ model: PROFILE, messages: ask(), ...params }))
const chatStream = async params => completed(await client.chat.completions.stream({ model: PROFILE, messages: ask(), stream_options: { include_usage: true }, ...params }).finalChatCompletion())

// Text: by ARN and by name, and the stream says the same.
const whole = await chat({})
assert.equal(whole.finish_reason, 'stop')
assert.match(whole.message.content, /river/i)
assert.equal((await chat({ model: PROFILE_NAME })).message.content, whole.message.content)
const streamed = await chatStream({})
assert.equal(streamed.message.content, whole.message.content)
assert.equal(streamed.usage.total_tokens, whole.usage.total_tokens)
const short = await chat({ max_completion_tokens: 3 })
assert.equal(short.finish_reason, 'length')
assert.equal(short.usage.completion_tokens, 3)

// A tool: its input, whole and in pieces, and its result back.
const tools = [{ type: 'function', function: { name: weather.name, description: weather.description, parameters: weather.schema } }]
const used = await chat({ tools, tool_choice: 'required' })
assert.equal(used.finish_reason, 'tool_calls')
const [use] = used.message.tool_calls
assert.equal(use.function.name, weather.name)
checkWeather(JSON.parse(use.function.arguments))
const pieces = await chatStream({ tools, tool_choice: { type: 'function', function: { name: weather.name } } })
assert.equal(pieces.message.tool_calls[0].function.name, weather.name)
checkWeather(JSON.parse(pieces.message.tool_calls[0].function.arguments))
const then = await chat({ messages: [...ask(), used.message, { role: 'tool', tool_call_id: use.id, content: 'overcast' }], tools })
assert.equal(then.finish_reason, 'stop')
assert.match(then.message.content, /overcast/)

// A picture.
const image_url = `data:image/png;base64,${picture}`
const seen = await chat({ messages: ask({ type: 'image_url', image_url: { url: image_url } }) })
assert.match(seen.message.content, /image/)
assert.ok(seen.usage.prompt_tokens > whole.usage.prompt_tokens)

// Responses.

function responded({ object, status, usage, output, output_text, incomplete_details }) {
  assert.equal(object, 'response')
  assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens)
  const call = output.find(o => o.type === 'function_call')
  assert.equal(status, incomplete_details ? 'incomplete' : 'completed')
  told('Responses', call ? 'tool_use' : incomplete_details ? 'max_tokens' : 'end_turn', usage.input_tokens, usage.output_tokens)
  return { usage, output, output_text, incomplete_details, call }
}
const asked = (...content) => [{ role: 'user', content: [{ type: 'input_text', text: question }, ...content] }]
const respond = async params => responded(await client.responses.create({ model: PROFILE, instructions: 'You are terse.', input: asked(), store: false, ...params }))
const respondStream = async params => {
  const stream = client.responses.stream({ model: PROFILE, instructions: 'You are terse.', input: asked(), store: false, ...params })
  const events = (await drain(stream)).map(e => e.type)
  assert.deepEqual([events[0], events.at(-1)], ['response.created', 'response.completed'])
  return responded(await stream.finalResponse())
}

const response = await respond({})
assert.match(response.output_text, /river/i)
const responseStreamed = await respondStream({})
assert.equal(responseStreamed.output_text, response.output_text)
assert.equal(responseStreamed.usage.total_tokens, response.usage.total_tokens)
assert.equal((await respond({ max_output_tokens: 16 })).incomplete_details.reason, 'max_output_tokens')

const functions = [{ type: 'function', name: weather.name, description: weather.description, parameters: weather.schema, strict: true }]
const { call, output } = await respond({ tools: functions, tool_choice: 'required' })
assert.equal(call.name, weather.name)
checkWeather(JSON.parse(call.arguments))
checkWeather(JSON.parse((await respondStream({ tools: functions, tool_choice: 'required' })).call.arguments))
const after = await respond({ input: [...asked(), ...output, { type: 'function_call_output', call_id: call.call_id, output: 'overcast' }], tools: functions })
assert.match(after.output_text, /overcast/)
assert.match((await respond({ input: asked({ type: 'input_image', image_url, detail: 'auto' }) })).output_text, /image/)

// Embeddings, which the client asks for in base64, and models.

const { data, usage } = await client.embeddings.create({ model: EMBEDDINGS, input: ['a river', 'a bridge'] })
assert.deepEqual(data.map(d => d.embedding.length), [1024, 1024])
assert.ok(data.every(d => d.embedding.every(Number.isFinite)))
told('Embeddings', '', usage.prompt_tokens, 0, EMBEDDINGS)
const numbers = await client.embeddings.create({ model: EMBEDDINGS, input: 'a river', encoding_format: 'float' })
assert.ok(numbers.data[0].embedding.every((n, i) => Math.abs(n - data[0].embedding[i]) < 1e-6))
told('Embeddings', '', numbers.usage.prompt_tokens, 0, EMBEDDINGS)
const models = await drain(client.models.list())
assert.ok(models.some(m => m.id === PROFILE && m.name === PROFILE_NAME))
for (const name of [PROFILE, PROFILE_NAME, PROFILE.split('/')[1]]) {
  assert.deepEqual(await client.models.retrieve(name), models.find(m => m.id === PROFILE))
}
const foundation = models.find(m => m.type === 'FOUNDATION_MODEL')
assert.deepEqual(await client.models.retrieve(foundation.id), foundation)
const nowhere = e => e instanceof OpenAI.NotFoundError && e.code === 'model_not_found'
await refused(client.models.retrieve('gpt-nine'), nowhere)

// Bedrock's own class of the client, which finds the key in the environment.
if (apiKey) assert.equal((await chat({}, new BedrockOpenAI({ baseURL, maxRetries: 0 }))).message.content, whole.message.content)

// Errors are the SDK's classes, before an answer and in the middle of one.
const send = (model, c = client) => c.chat.completions.create({ model, messages: ask() })
await refused(send('anthropic.claude-nine'), nowhere)
await refused(client.responses.create({ model: 'gpt-nine', input: 'Hi' }), nowhere)
await refused(client.embeddings.create({ model: 'gpt-nine', input: 'Hi' }), nowhere)
await refused(client.chat.completions.create({ model: PROFILE, messages: ask(), n: 2 }), e => e instanceof OpenAI.BadRequestError && e.param === 'n')
await refused(send(THROTTLED), e => e instanceof OpenAI.RateLimitError && e.code === 'rate_limit_exceeded')
failed('ChatCompletions', THROTTLED)
const cut = await client.chat.completions.create({ model: CUT, messages: ask(), stream: true })
await refused(drain(cut), e => e instanceof OpenAI.APIError)
failed('ChatCompletions', CUT)
const broken = await drain(await client.responses.create({ model: CUT, input: asked(), store: false, stream: true }))
assert.equal(broken.at(-1).type, 'response.failed')
assert.equal(broken.at(-1).response.error.code, 'server_error')
failed('Responses', CUT)
const stranger = apiKey ? open('ABSKbm9ib2R5') : sign({ accessKeyId: 'AKIANOBODYKNOWSTHIS0', secretAccessKey: 'wrong' })
await refused(send(PROFILE, stranger), e => e instanceof OpenAI.AuthenticationError && e.code === 'invalid_api_key')
account()
