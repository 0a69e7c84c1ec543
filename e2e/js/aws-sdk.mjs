// @aws-sdk/client-bedrock-runtime: HTTP/2 in clear text as it comes, HTTP/1.1 with the argument http1.
import assert from 'node:assert/strict'
import * as sdk from '@aws-sdk/client-bedrock-runtime'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { PROFILE, PROFILE_NAME, THROTTLED, CUT, account, apiKey, checkWeather, drain, failed, picture, question, refused, told, weather } from './session.mjs'

const options = { maxAttempts: 1, ...(process.argv[2] === 'http1' && { requestHandler: new NodeHttpHandler() }) }
const client = new sdk.BedrockRuntimeClient(options)
assert.equal(client.config.requestHandler.metadata.handlerProtocol, process.argv[2] === 'http1' ? 'http/1.1' : 'h2')
const ask = (...content) => [{ role: 'user', content: [{ text: question }, ...content] }]
const text = message => message.content.map(b => b.text ?? '').join('')

async function converse(input) {
  const answer = await client.send(new sdk.ConverseCommand(input))
  const { usage, stopReason, output, metrics } = answer
  assert.equal(usage.totalTokens, usage.inputTokens + usage.outputTokens)
  assert.equal(output.message.role, 'assistant')
  assert.ok(metrics.latencyMs >= 0 && answer.$metadata.requestId)
  told('Converse', stopReason, usage.inputTokens, usage.outputTokens)
  return answer
}

async function stream(input) {
  const { stream } = await client.send(new sdk.ConverseStreamCommand(input))
  const events = await drain(stream)
  const kinds = events.map(e => Object.keys(e)[0])
  assert.equal(kinds[0], 'messageStart')
  assert.deepEqual(kinds.slice(-3), ['contentBlockStop', 'messageStop', 'metadata'])
  const { stopReason } = events.at(-2).messageStop
  const { usage } = events.at(-1).metadata
  told('ConverseStream', stopReason, usage.inputTokens, usage.outputTokens)
  const deltas = events.filter(e => e.contentBlockDelta).map(e => e.contentBlockDelta.delta)
  return {
    usage,
    stopReason,
    text: deltas.map(d => d.text ?? '').join(''),
    tool: events.find(e => e.contentBlockStart)?.contentBlockStart.start.toolUse.name,
    input: deltas.map(d => d.toolUse?.input ?? '').join(''),
  }
}

// Text: each way to name the profile, and the stream says the same.
const whole = await converse({ modelId: PROFILE, messages: ask(), inferenceConfig: { maxTokens: 200 } })
assert.equal(whole.stopReason, 'end_turn')
assert.match(text(whole.output.message), /river/i)
for (const modelId of [PROFILE_NAME, PROFILE.split('/').at(-1)]) {
  const other = await converse({ modelId, messages: ask(), inferenceConfig: { maxTokens: 200 } })
  assert.equal(text(other.output.message), text(whole.output.message))
}
const streamed = await stream({ modelId: PROFILE, messages: ask(), inferenceConfig: { maxTokens: 200 } })
assert.equal(streamed.text, text(whole.output.message))
assert.deepEqual(streamed.usage, whole.usage)
const short = await converse({ modelId: PROFILE, messages: ask(), inferenceConfig: { maxTokens: 3 } })
assert.equal(short.stopReason, 'max_tokens')
assert.equal(short.usage.outputTokens, 3)

// A tool: its input, whole and in pieces, and its result back.
const tools = [{ toolSpec: { name: weather.name, description: weather.description, inputSchema: { json: weather.schema } } }]
const used = await converse({ modelId: PROFILE, messages: ask(), toolConfig: { tools, toolChoice: { any: {} } } })
assert.equal(used.stopReason, 'tool_use')
const { toolUse } = used.output.message.content.find(b => b.toolUse)
assert.equal(toolUse.name, weather.name)
checkWeather(toolUse.input)
const pieces = await stream({ modelId: PROFILE, messages: ask(), toolConfig: { tools, toolChoice: { tool: { name: weather.name } } } })
assert.equal(pieces.stopReason, 'tool_use')
assert.equal(pieces.tool, weather.name)
checkWeather(JSON.parse(pieces.input))
const result = { toolResult: { toolUseId: toolUse.toolUseId, status: 'success', content: [{ json: { sky: 'overcast' } }] } }
const then = await converse({ modelId: PROFILE, messages: [...ask(), used.output.message, { role: 'user', content: [result] }], toolConfig: { tools } })
assert.equal(then.stopReason, 'end_turn')
assert.match(text(then.output.message), /overcast/)

// A picture.
const seen = await converse({ modelId: PROFILE, messages: ask({ image: { format: 'png', source: { bytes: Buffer.from(picture, 'base64') } } }), inferenceConfig: { maxTokens: 200 } })
assert.match(text(seen.output.message), /image/)
assert.ok(seen.usage.inputTokens > whole.usage.inputTokens)

// The vendor's own body, and counting, which is no call.
const native = { modelId: PROFILE, contentType: 'application/json', body: JSON.stringify({ anthropic_version: 'bedrock-2023-05-31', max_tokens: 200, messages: [{ role: 'user', content: question }] }) }
const invoked = JSON.parse((await client.send(new sdk.InvokeModelCommand(native))).body.transformToString())
assert.match(invoked.content[0].text, /river/i)
told('InvokeModel', invoked.stop_reason, invoked.usage.input_tokens, invoked.usage.output_tokens)
const chunks = (await drain((await client.send(new sdk.InvokeModelWithResponseStreamCommand(native))).body)).map(e => JSON.parse(Buffer.from(e.chunk.bytes).toString()))
assert.equal(chunks.map(c => c.delta?.text ?? '').join(''), invoked.content[0].text)
const metrics = chunks.at(-1)['amazon-bedrock-invocationMetrics']
told('InvokeModelWithResponseStream', chunks.find(c => c.delta?.stop_reason).delta.stop_reason, metrics.inputTokenCount, metrics.outputTokenCount)
const { inputTokens } = await client.send(new sdk.CountTokensCommand({ modelId: PROFILE, input: { converse: { messages: ask() } } }))
assert.equal(inputTokens, whole.usage.inputTokens)

// Errors are the SDK's classes, before an answer and in the middle of one.
const send = (modelId, c = client) => c.send(new sdk.ConverseCommand({ modelId, messages: ask() }))
await refused(send('anthropic.claude-nine'), e => e instanceof sdk.ValidationException && e.message === 'The provided model identifier is invalid.' && e.$metadata.httpStatusCode === 400)
await refused(send(THROTTLED), e => e instanceof sdk.ThrottlingException && e.$metadata.httpStatusCode === 429)
failed('Converse', THROTTLED)
const cut = await client.send(new sdk.ConverseStreamCommand({ modelId: CUT, messages: ask() }))
await refused(drain(cut.stream), e => e instanceof sdk.ModelStreamErrorException)
failed('ConverseStream', CUT)
const stranger = new sdk.BedrockRuntimeClient({ ...options, ...(apiKey ? { token: { token: 'ABSKbm9ib2R5' } } : { credentials: { accessKeyId: 'AKIANOBODYKNOWSTHIS0', secretAccessKey: 'wrong' } }) })
await refused(send(PROFILE, stranger), e => e.$metadata.httpStatusCode === 403 && e.name === (apiKey ? 'AccessDeniedException' : 'UnrecognizedClientException'))

// Ten streams at once, over HTTP/2 on one connection.
const all = await Promise.all(Array.from({ length: 10 }, () => stream({ modelId: PROFILE, messages: ask(), inferenceConfig: { maxTokens: 200 } })))
for (const one of all) assert.deepEqual(one, streamed)

stranger.destroy()
client.destroy()
account()
