// viem's test client: time, mining and state by decree. `mode` is the prefix of its methods, hardhat or anvil.
import { createTestClient, http, pad, parseEther } from 'viem'
import { run } from './support.mjs'
import { clients, deploy } from './viem_support.mjs'

run(async (args) => {
  const { reader, writer, chain, account } = clients(args)
  const test = createTestClient({ chain, transport: http(args.rpc), mode: args.mode })
  const someone = args.someone
  const balance = () => reader.getBalance({ address: someone })
  const pay = async (value) =>
    reader.waitForTransactionReceipt({ hash: await writer.sendTransaction({ to: someone, value }) })
  const result = {}

  const start = await balance()
  const snapshot = await test.snapshot()
  await pay(5n)
  const paid = await balance()
  await test.revert({ id: snapshot })
  result.revert = [paid - start, (await balance()) - start]

  await test.setBalance({ address: someone, value: parseEther('3') })
  result.balance = await balance()
  await test.setNonce({ address: someone, nonce: 9 })
  result.nonce = await reader.getTransactionCount({ address: someone })
  await test.setCode({ address: args.codeAt, bytecode: '0x602a5f5260205ff3' })
  result.code = (await reader.call({ to: args.codeAt })).data
  await test.setStorageAt({ address: args.codeAt, index: 2, value: pad('0x07') })
  result.storage = await reader.getStorageAt({ address: args.codeAt, slot: '0x2' })

  const height = await reader.getBlockNumber()
  await test.mine({ blocks: 5, interval: 7 })
  result.mined = (await reader.getBlockNumber()) - height
  const [a, b] = [await reader.getBlock({ blockNumber: height + 4n }), await reader.getBlock({ blockNumber: height + 5n })]
  result.interval = b.timestamp - a.timestamp
  await test.setNextBlockTimestamp({ timestamp: b.timestamp + 1000n })
  await test.mine({ blocks: 1 })
  result.jump = (await reader.getBlock()).timestamp - b.timestamp
  const before = (await reader.getBlock()).timestamp
  await test.increaseTime({ seconds: 5000 })
  await test.mine({ blocks: 1 })
  result.increase = (await reader.getBlock()).timestamp - before
  await test.setNextBlockBaseFeePerGas({ baseFeePerGas: 123_456_789n })
  await test.mine({ blocks: 1 })
  result.baseFee = (await reader.getBlock()).baseFeePerGas
  await test.setCoinbase({ address: args.miner })
  await test.mine({ blocks: 1 })
  result.coinbase = (await reader.getBlock()).miner

  await test.impersonateAccount({ address: someone })
  const hash = await writer.sendTransaction({ account: someone, to: account.address, value: 1n })
  result.impersonated = (await reader.waitForTransactionReceipt({ hash })).from
  await test.stopImpersonatingAccount({ address: someone })

  await test.setAutomine(false)
  const waiting = await writer.sendTransaction({ to: someone, value: 1n })
  result.waiting = await reader.getTransactionReceipt({ hash: waiting }).then(() => 'mined', () => 'waiting')
  await test.dropTransaction({ hash: waiting })
  await test.mine({ blocks: 1 })
  result.dropped = await reader.getTransaction({ hash: waiting }).then(() => 'there', () => 'gone')
  await test.setAutomine(true)
  result.automine = (await pay(1n)).status
  result.contract = (await deploy({ reader, writer }, args.probe)).address.length
  return result
})
