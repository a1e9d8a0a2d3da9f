// Deploy a Solidity contract that opens only for licensees, and pass it: viem and solc against a devnet.
//
//   dmchain devnet &
//   cd examples && npm install && node gate.mjs [http://127.0.0.1:8545]
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import solc from 'solc'
import { BaseError, ContractFunctionRevertedError, bytesToHex, concatHex, createPublicClient, createWalletClient, http, keccak256, parseAbi, sha256 } from 'viem'
import { mnemonicToAccount } from 'viem/accounts'
import { localhost } from 'viem/chains'

const transport = http(process.argv[2] ?? 'http://127.0.0.1:8545')
const mnemonic = 'test test test test test test test test test test test junk'
const provider = mnemonicToAccount(mnemonic, { addressIndex: 0 })
const consumer = mnemonicToAccount(mnemonic, { addressIndex: 1 })
const chain = { ...localhost, id: 1337 }
const reader = createPublicClient({ chain, transport, pollingInterval: 100 })
const writer = createWalletClient({ chain, transport })

const registry = {
  address: '0x000000000000000000000000000000000000DA01',
  abi: parseAbi(['function registerCid(bytes cid, bytes metadataCid, bytes32[] parents, uint64 sizeBytes) returns (bytes32)']),
}
const ledger = {
  address: '0x000000000000000000000000000000000000Da02',
  abi: parseAbi(['function grant(bytes32 datasetId, address licensee, uint8 kind, uint64 expiresAt, uint64 units, bytes32 termsHash)']),
}

function compile(name) {
  const content = readFileSync(new URL(`contracts/${name}.sol`, import.meta.url), 'utf8')
  const input = {
    language: 'Solidity',
    sources: { [name]: { content } },
    settings: { optimizer: { enabled: true }, outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } } },
  }
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)))
  const fatal = errors.filter((error) => error.severity === 'error')
  if (fatal.length) throw new Error(fatal.map((error) => error.formattedMessage).join('\n'))
  const { abi, evm } = contracts[name][name]
  return { abi, bytecode: `0x${evm.bytecode.object}` }
}

async function mined(hash) {
  const receipt = await reader.waitForTransactionReceipt({ hash })
  if (receipt.status !== 'success') throw new Error(`transaction ${hash} failed`)
  return receipt
}

async function write(account, contract, functionName, args = []) {
  const { request } = await reader.simulateContract({ ...contract, functionName, args, account })
  return mined(await writer.writeContract(request))
}

const content = randomBytes(64)
const cid = concatHex(['0x01551220', sha256(content)]) // CIDv1, raw, sha2-256
const datasetId = keccak256(cid)
await write(provider, registry, 'registerCid', [cid, '0x', [], BigInt(content.length)])
console.log('registered', datasetId, 'content', bytesToHex(content.subarray(0, 8)), '…')

const built = compile('Gate')
const { contractAddress } = await mined(await writer.deployContract({ ...built, args: [datasetId], account: provider }))
const gate = { address: contractAddress, abi: built.abi }
console.log('gate at', gate.address)

try {
  await write(consumer, gate, 'enter')
} catch (error) {
  const revert = error instanceof BaseError && error.walk((e) => e instanceof ContractFunctionRevertedError)
  if (revert?.data?.errorName !== 'NoLicense') throw error
  console.log('without a licence:', revert.data.errorName)
}
await write(provider, ledger, 'grant', [datasetId, consumer.address, 1, 0n, 0n, keccak256('0x')])
await write(consumer, gate, 'enter')
const [entered] = await reader.getContractEvents({ ...gate, eventName: 'Entered', fromBlock: 0n })
console.log('with a licence: entered,', entered.args.visits, 'visit')
