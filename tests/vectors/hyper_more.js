'use strict'
// Makes hyper_more.json: node hyper_more.js OUT, where hypercore 11.37.1 is installed (as in ../interop/rigs).
const Hypercore=require('hypercore'), c=require('compact-encoding'), b4a=require('b4a'), flat=require('flat-tree')
const crypto=require('hypercore-crypto')
const { MerkleTree, MerkleTreeBatch }=require('hypercore/lib/merkle-tree')
const Verifier=require('hypercore/lib/verifier')
const multisig=require('hypercore/lib/multisig')
const m=require('hypercore/lib/messages')
const caps=require('hypercore/lib/caps')
const fs=require('fs'), os=require('os'), path=require('path')
const hex=b=>b4a.toString(b,'hex')
const seed=n=>b4a.alloc(32,n)
async function main(){
  const dir=fs.mkdtempSync(path.join(os.tmpdir(),'h11more-'))
  const out={madeWith:{hypercore:'11.37.1',hyperbee:'2.27.3',hyperblobs:'2.12.1'}}
  // blocks of length (i*7)%23 with bytes i
  const blocks=[]; for(let i=0;i<21;i++) blocks.push(b4a.alloc((i*7)%23,i))
  out.blocks='block i is (i*7)%23 bytes of value i'
  const core=new Hypercore(path.join(dir,'a'),null,{keyPair:crypto.keyPair(seed(1))})
  await core.ready(); await core.append(blocks)
  const state=core.core.state
  // proofs
  out.proofs=[]
  const asks=[]
  for (const [start,length] of [[0,21],[0,13],[5,16],[5,3],[8,8],[7,14],[20,1],[3,1]]) asks.push({upgrade:{start,length}})
  for (const index of [0,7,12,20]) for (const nodes of [0,1,2]) asks.push({block:{index,nodes}})
  for (const index of [1,3,11,22,40]) for (const nodes of [0,1]) asks.push({hash:{index,nodes}})
  for (const [b,s,l] of [[20,0,21],[3,0,21],[10,5,16],[2,5,16],[12,8,13],[17,16,5]]) asks.push({block:{index:b,nodes:1},upgrade:{start:s,length:l}})
  for (const [h,s,l] of [[23,0,21],[40,16,5],[9,0,8]]) asks.push({hash:{index:h,nodes:0},upgrade:{start:s,length:l}})
  for (const bytes of [0,1,50,99,100,120,180,5000]) { asks.push({seek:{bytes,padding:0},upgrade:{start:0,length:21}}); asks.push({seek:{bytes,padding:0},upgrade:{start:6,length:11}}); asks.push({hash:{index:7,nodes:0},seek:{bytes,padding:0}}); asks.push({hash:{index:0,nodes:4},seek:{bytes,padding:0}}); asks.push({block:{index:9,nodes:3},seek:{bytes,padding:0}}); asks.push({block:{index:2,nodes:2},seek:{bytes,padding:0},upgrade:{start:8,length:13}}) }
  for (const bytes of [3,20,60]) { asks.push({hash:{index:0,nodes:4},seek:{bytes,padding:1}}); asks.push({seek:{bytes,padding:2},upgrade:{start:0,length:21}}) }
  asks.push({block:{index:30,nodes:0}},{block:{index:3,nodes:9}},{upgrade:{start:3,length:40}},{upgrade:{start:3,length:0}},{hash:{index:31,nodes:0}},{hash:{index:31,nodes:0},upgrade:{start:0,length:21}})
  for (const ask of asks){
    let r=null
    const copy=JSON.parse(JSON.stringify(ask))
    try{
      const rx=state.storage.read()
      const p=await MerkleTree.proof(state,rx,{block:ask.block||null,hash:ask.hash||null,seek:ask.seek||null,upgrade:ask.upgrade||null})
      rx.tryFlush()
      r=await p.settle()
      if(r.block) r.block.value=blocks[r.block.index]
      r=hex(c.encode(m.wire.data,{request:1,fork:r.fork,...r}))
    }catch(e){ r=null }
    out.proofs.push({ask:copy,data:r})
  }
  out.signature=hex(state.signature); out.key=hex(core.key)

  out.seeks=[]
  for (const bytes of [0,1,6,7,20,100,150,199,220,231,232,500]) { const s=MerkleTree.seek(state,bytes,0); const r=await s.update(); out.seeks.push({bytes,found:r,size:state.byteLength}) }

  const pairs=[2,3,4].map(n=>crypto.keyPair(seed(n)))
  out.multisig=[]
  async function nodesOf(from,to){ const rx=state.storage.read(); const p=await MerkleTree.proof(state,rx,{upgrade:{start:from,length:to-from}}); rx.tryFlush(); return (await p.settle()).upgrade.nodes }
  async function treeAt(n){ return { roots: await MerkleTree.getRoots(state,n), length:n, fork:0,
     hash(){return crypto.tree(this.roots)}, signable(h){return caps.treeSignable(h,this.hash(),this.length,this.fork)} } }
  for (const [version,allowPatch,quorum,parts,length] of [
     [1,false,2,[[0,0],[1,0]],21],[1,true,2,[[0,0],[2,3]],11],[1,true,2,[[2,10],[1,3]],11],[1,true,3,[[2,10],[1,3],[0,0]],11],
     [0,false,2,[[0,0],[1,0]],21],[0,true,2,[[2,10],[1,0]],11],[2,false,1,[[1,0]],5],[0,true,1,[[0,5]],8]]) {
    const manifest=Verifier.createManifest({version,allowPatch,quorum,signers:pairs.map((p,i)=>({publicKey:p.publicKey,namespace:seed(40+i)}))})
    const v=Verifier.fromManifest(manifest)
    const inputs=[]
    for (const [signer,patch] of parts){
      const t=await treeAt(length+patch)
      const s=v.signers[signer].sign(t,pairs[signer])
      inputs.push({signer,signature:s,patch,nodes:patch?await nodesOf(length,length+patch):null})
    }
    const signature=v.assemble(inputs)
    const batch=new MerkleTreeBatch(state); batch.roots=await MerkleTree.getRoots(state,length); batch.length=length; batch.byteLength=batch.roots.reduce((a,n)=>a+n.size,0); batch.hashCached=null
    const ok=v.verify(batch,signature)
    out.multisig.push({version,allowPatch,quorum,length,encoded:hex(Verifier.encodeManifest(manifest)),key:hex(Verifier.manifestHash(manifest)),signature:hex(signature),ok})
  }

  { const t=await treeAt(10); const manifest=Verifier.createManifest({version:1,prologue:{hash:t.hash(),length:10},signers:[{publicKey:pairs[0].publicKey}]}); const v=Verifier.fromManifest(manifest); const t2=await treeAt(21); out.prologue={encoded:hex(Verifier.encodeManifest(manifest)),key:hex(Verifier.manifestHash(manifest)),length:10,signature21:hex(v.sign(t2,pairs[0]))} }
  // v0 single and compat signatures
  { const manifest=Verifier.createManifest({version:0,signers:[{publicKey:pairs[0].publicKey,namespace:seed(9)}]}); const v=Verifier.fromManifest(manifest); const t=await treeAt(21); out.v0={encoded:hex(Verifier.encodeManifest(manifest)),key:hex(Verifier.manifestHash(manifest)),signature:hex(v.sign(t,pairs[0]))} }
  fs.writeFileSync(process.argv[2],JSON.stringify(out))
  fs.rmSync(dir,{recursive:true,force:true})
  // Requests that failed leave reads open: closing the core would wait for ever.
  process.exit(0)
}
main().catch(e=>{console.error(e);process.exit(1)})
