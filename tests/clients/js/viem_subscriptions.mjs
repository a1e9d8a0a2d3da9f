// Everything viem can watch over a WebSocket, and the same watchers over HTTP (polling with filters).
import { http, webSocket } from 'viem'
import { Collector, run } from './support.mjs'
import { clients, deploy } from './viem_support.mjs'

run(async (args) => {
  const result = {}
  for (const [name, transport] of [['ws', webSocket(args.ws)], ['http', http(args.rpc)]]) {
    const { reader, writer, account } = clients(args, transport)
    const coin = await deploy({ reader, writer }, args.coin, [1000n])
    const heads = new Collector(`${name} heads`)
    const events = new Collector(`${name} events`)
    const pending = new Collector(`${name} pending`)
    const onError = (error) => { throw error }
    const stop = [
      reader.watchBlocks({ onBlock: (block) => heads.push(block), onError, emitMissed: true }),
      reader.watchContractEvent({
        ...coin, eventName: 'Transfer', args: { from: account.address }, onLogs: (logs) => events.push(...logs), onError,
      }),
      reader.watchPendingTransactions({ onTransactions: (hashes) => pending.push(...hashes), onError }),
    ]
    // a watcher is ready when its subscription answers: the first head proves it for the heads, and the events
    // are asked for until one is seen
    let last
    const send = async (value) => {
      const hash = await writer.writeContract({ ...coin, functionName: 'transfer', args: [args.recipient, value] })
      last = await reader.waitForTransactionReceipt({ hash })
    }
    for (let value = 1n; events.items.length === 0 || heads.items.length === 0 || pending.items.length === 0; value++) {
      await send(value)
      if (value > 50n) throw new Error(`${name}: silent after 50 transfers`)
    }
    const first = events.items[0].args.value
    await send(100n)
    await send(101n)
    const logs = await events.until((items) => items.some((log) => log.args.value === 101n))
    const blocks = await heads.until((items) => items.some((block) => block.number === last.blockNumber))
    await pending.until((items) => items.includes(last.transactionHash))
    for (const end of stop) end()
    result[name] = {
      first,
      values: logs.map((log) => log.args.value),
      numbers: blocks.map((block) => block.number),
      linked: blocks.slice(1).every((block, i) => block.parentHash === blocks[i].hash),
      pending: pending.items.filter((hash) => hash === last.transactionHash).length,
    }
  }
  return result
})
