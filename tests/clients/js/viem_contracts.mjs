// Deploys OpenZeppelin tokens, reads events by filter and by query, decodes errors, asks what viem can ask.
import { BaseError, ContractFunctionRevertedError, encodeFunctionData, parseAbiItem } from 'viem'
import { run } from './support.mjs'
import { clients, deploy } from './viem_support.mjs'

function revertOf(error) {
  const reverted = error instanceof BaseError && error.walk((e) => e instanceof ContractFunctionRevertedError)
  if (!reverted) throw error
  return { name: reverted.data?.errorName ?? null, args: reverted.data?.args ?? null, reason: reverted.reason ?? null }
}

run(async (args) => {
  const { reader, writer, account } = clients(args)
  const coin = await deploy({ reader, writer }, args.coin, [1000n])
  const card = await deploy({ reader, writer }, args.card)
  const probe = await deploy({ reader, writer }, args.probe)
  const send = async (contract, functionName, callArgs) => {
    const { request } = await reader.simulateContract({ ...contract, functionName, args: callArgs, account })
    return reader.waitForTransactionReceipt({ hash: await writer.writeContract(request) })
  }
  const read = (contract, functionName, callArgs = []) =>
    reader.readContract({ ...contract, functionName, args: callArgs })
  const failure = (promise) => promise.then(() => 'no failure', revertOf)

  const filter = await reader.createContractEventFilter({ ...coin, eventName: 'Transfer', args: { to: args.recipient } })
  const transfer = await send(coin, 'transfer', [args.recipient, 7n])
  const changes = await reader.getFilterChanges({ filter })
  const again = await reader.getFilterChanges({ filter })
  const everything = await reader.getFilterLogs({ filter })
  const uninstalled = await reader.uninstallFilter({ filter })
  const mint = await send(card, 'mint', [account.address, 5n])
  const put = { ...probe, functionName: 'put', args: [1n, 101n, 'x'], account }
  const transferData = encodeFunctionData({ abi: coin.abi, functionName: 'transfer', args: [args.recipient, 1n] })

  return {
    account: account.address,
    coin: coin.address,
    transfer: { status: transfer.status, logs: transfer.logs.length, gasUsed: transfer.gasUsed },
    changes: changes.map((log) => log.args),
    again: again.length,
    everything: everything.map((log) => log.args.value),
    uninstalled,
    balances: [await read(coin, 'balanceOf', [account.address]), await read(coin, 'balanceOf', [args.recipient])],
    name: await read(coin, 'name'),
    events: (await reader.getContractEvents({ ...coin, fromBlock: 'earliest' })).map((log) => log.eventName),
    logs: (await reader.getLogs({ address: coin.address, fromBlock: 0n, event: parseAbiItem('event Transfer(address indexed from, address indexed to, uint256 value)') })).map((log) => log.args.value),
    owner: await read(card, 'ownerOf', [5n]),
    mint: mint.status,
    errors: {
      missingCard: await failure(read(card, 'ownerOf', [6n])),
      simulate: await failure(reader.simulateContract(put)),
      estimate: await failure(reader.estimateContractGas(put)),
      text: await failure(read(probe, 'failWithText')),
      panic: await failure(read(probe, 'failWithPanic', [0n])),
      nothing: await failure(read(probe, 'failWithNothing')),
    },
    estimate: await reader.estimateContractGas({ ...coin, functionName: 'transfer', args: [args.recipient, 1n], account }),
    estimatePoor: await reader.estimateGas({ account: args.stranger, to: args.recipient, value: 0n }),
    deployless: await reader.readContract({
      abi: args.probe.abi, code: args.probe.bytecode, functionName: 'LIMIT',
    }),
    accessList: (await reader.createAccessList({ account, to: coin.address, data: transferData })).accessList,
    fees: await reader.estimateFeesPerGas(),
    history: await reader.getFeeHistory({ blockCount: 2, rewardPercentiles: [25, 75] }),
    proof: (await reader.getProof({ address: coin.address, storageKeys: [`0x${'00'.repeat(31)}02`] })).storageProof[0].value,
    storage: await reader.getStorageAt({ address: coin.address, slot: '0x2' }),
    blobBaseFee: await reader.getBlobBaseFee(),
  }
})
