// Calls that see each other's effects, in blocks that are never made (eth_simulateV1).
import { encodeFunctionData } from 'viem'
import { run } from './support.mjs'
import { clients, deploy } from './viem_support.mjs'

run(async (args) => {
  const { reader, writer, account } = clients(args)
  const coin = await deploy({ reader, writer }, args.coin, [1000n])
  const data = encodeFunctionData({ abi: coin.abi, functionName: 'transfer', args: [args.recipient, 1n] })
  const balanceOf = { to: coin.address, abi: coin.abi, functionName: 'balanceOf', args: [args.recipient] }
  const height = await reader.getBlockNumber()
  const blocks = await reader.simulateBlocks({
    blocks: [
      { calls: [{ account, to: coin.address, data }, balanceOf], stateOverrides: [{ address: account.address, balance: 10n ** 18n }] },
      { calls: [{ account, to: coin.address, data }, balanceOf], blockOverrides: { time: 10n ** 11n } },
    ],
  })
  return {
    height,
    numbers: blocks.map((block) => block.number),
    timestamp: blocks[1].timestamp,
    calls: blocks.map((block) => block.calls.map((call) => [call.status, call.logs?.length ?? 0, call.result ?? null])),
    after: await reader.readContract({ ...coin, functionName: 'balanceOf', args: [args.recipient] }),
  }
})
