// The market with viem: register, appoint a controller, grant, check from an account and from a contract.
import { BaseError, ContractFunctionRevertedError, keccak256 } from 'viem'
import { run } from './support.mjs'
import { clients, deploy } from './viem_support.mjs'

run(async (args) => {
  const { reader, writer, account } = clients(args)
  const registry = { address: args.registry.address, abi: args.registry.abi }
  const ledger = { address: args.ledger.address, abi: args.ledger.abi }
  const caller = await deploy({ reader, writer }, args.caller)
  const send = async (contract, functionName, callArgs) => {
    const { request, result } = await reader.simulateContract({ ...contract, functionName, args: callArgs, account })
    const receipt = await reader.waitForTransactionReceipt({ hash: await writer.writeContract(request) })
    return { result, status: receipt.status }
  }
  const read = (contract, functionName, callArgs) =>
    reader.readContract({ ...contract, functionName, args: callArgs })
  const errorOf = (promise) => promise.then(
    () => 'no error',
    (error) => error instanceof BaseError && error.walk((e) => e instanceof ContractFunctionRevertedError)?.data,
  )

  const id = keccak256(args.cid)
  const filter = await reader.createContractEventFilter({ ...registry, eventName: 'DatasetRegistered', args: { owner: account.address } })
  const registered = await send(registry, 'registerCid', [args.cid, '0x', [], 5n])
  const again = await errorOf(reader.simulateContract({ ...registry, functionName: 'registerCid', args: [args.cid, '0x', [], 5n], account }))
  const estimateAgain = await errorOf(reader.estimateContractGas({ ...registry, functionName: 'registerCid', args: [args.cid, '0x', [], 5n], account }))
  const invalid = await errorOf(reader.simulateContract({ ...registry, functionName: 'registerCid', args: ['0x00112233', '0x', [], 5n], account }))
  const events = await reader.getFilterChanges({ filter })
  await send(registry, 'setController', [id, caller.address])
  const before = await read(ledger, 'hasLicense', [id, args.licensee])
  const refused = await errorOf(reader.simulateContract({ ...ledger, functionName: 'grant', args: [id, args.licensee, 1, 0n, 0n, `0x${'00'.repeat(32)}`], account }))
  await send(caller, 'grant', [id, args.licensee, 0n])
  const license = await read(ledger, 'licenseOf', [id, args.licensee])
  return {
    id,
    registered,
    again,
    estimateAgain,
    invalid,
    events: events.map((log) => log.args),
    dataset: await read(registry, 'dataset', [id]),
    controller: await read(registry, 'controllerOf', [id]),
    caller: caller.address,
    before,
    refused,
    fromAccount: await read(ledger, 'hasLicense', [id, args.licensee]),
    fromContract: await read(caller, 'check', [id, args.licensee]),
    license,
    many: await read(ledger, 'hasLicenses', [[id, `0x${'00'.repeat(32)}`, id], args.licensee]),
  }
})
