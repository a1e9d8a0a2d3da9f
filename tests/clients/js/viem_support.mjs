import { createPublicClient, createWalletClient, defineChain, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

export function clients({ rpc, ws, chainId, privateKey }, transport = http(rpc)) {
  const chain = defineChain({
    id: chainId,
    name: 'devnet',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [rpc], webSocket: [ws] } },
  })
  const account = privateKey ? privateKeyToAccount(privateKey) : undefined
  return {
    chain,
    account,
    reader: createPublicClient({ chain, transport, pollingInterval: 25, cacheTime: 0 }),
    writer: createWalletClient({ chain, transport, account, pollingInterval: 25 }),
  }
}

export async function deploy({ reader, writer }, built, args = []) {
  const hash = await writer.deployContract({ ...built, args })
  const receipt = await reader.waitForTransactionReceipt({ hash })
  if (receipt.status !== 'success') throw new Error(`deployment failed: ${hash}`)
  return { address: receipt.contractAddress, abi: built.abi }
}
