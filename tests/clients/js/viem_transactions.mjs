// One transaction of each type, everything that can be left out left to viem (it asks eth_fillTransaction first).
import { parseGwei } from 'viem'
import { run } from './support.mjs'
import { clients, deploy } from './viem_support.mjs'

run(async (args) => {
  const { reader, writer, account } = clients(args)
  const { address: probe, abi } = await deploy({ reader, writer }, args.probe)
  const to = args.recipient
  const requests = {
    legacy: { type: 'legacy', to, value: 1n },
    eip2930: { type: 'eip2930', to, value: 1n, accessList: [{ address: probe, storageKeys: [`0x${'00'.repeat(32)}`] }] },
    eip1559: { to, value: 1n },
    explicit: { to, value: 1n, gas: 21000n, maxFeePerGas: parseGwei('10'), maxPriorityFeePerGas: parseGwei('1') },
  }
  const result = {}
  for (const [name, request] of Object.entries(requests)) {
    const hash = await writer.sendTransaction(request)
    const receipt = await reader.waitForTransactionReceipt({ hash })
    result[name] = { receipt, transaction: await reader.getTransaction({ hash }) }
  }
  const authorization = await writer.signAuthorization({ contractAddress: probe, executor: 'self' })
  const hash = await writer.sendTransaction({ authorizationList: [authorization], to: account.address })
  const receipt = await reader.waitForTransactionReceipt({ hash })
  result.eip7702 = {
    receipt,
    transaction: await reader.getTransaction({ hash }),
    code: await reader.getCode({ address: account.address }),
    delegation: await reader.getDelegation({ address: account.address }),
    self: await reader.readContract({ address: account.address, abi, functionName: 'self' }),
    probe,
    account: account.address,
  }
  return result
})
