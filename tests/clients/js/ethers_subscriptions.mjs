// ethers' WebSocketProvider: new heads, contract events and pending transactions by eth_subscribe.
import { ContractFactory, Wallet, WebSocketProvider } from 'ethers'
import { Collector, run } from './support.mjs'

run(async (args) => {
  const provider = new WebSocketProvider(args.ws, undefined, { cacheTimeout: -1 })
  const wallet = new Wallet(args.privateKey, provider)
  const coin = await (await new ContractFactory(args.coin.abi, args.coin.bytecode, wallet).deploy(1000n)).waitForDeployment()
  const [heads, events, pending] = [new Collector('heads'), new Collector('events'), new Collector('pending')]
  await provider.on('block', (number) => heads.push(number))
  await coin.on(coin.filters.Transfer(wallet.address), (event) => events.push(event.args.value))
  await provider.on('pending', (hash) => pending.push(hash))

  const send = async (value) => (await coin.transfer(args.recipient, value)).wait()
  for (let value = 1n; !(heads.items.length && events.items.length && pending.items.length); value++) {
    await send(value)
    if (value > 50n) throw new Error('silent after 50 transfers')
  }
  const first = events.items[0]
  await send(100n)
  const last = await send(101n)
  const values = await events.until((items) => items.includes(101n))
  const numbers = await heads.until((items) => items.includes(last.blockNumber))
  await pending.until((items) => items.includes(last.hash))
  return { first, values, numbers, pending: pending.items.filter((hash) => hash === last.hash).length }
})
