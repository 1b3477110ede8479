//! Bytes made by the JavaScript implementation of the Hypercore dialect, made again and read by
//! ours. `tests/vectors/hyper.json` was made with hypercore 11.37.1, secret-stream 6.9.2, protomux
//! 3.12.1, hyperbee 2.27.3, hyperblobs 2.12.1 and hyperdrive 13.3.4; its groups `dht`, `udx` and
//! `noise_ik_dht` are for protocols that are not spoken yet. `hyper_more.json` was made with the same
//! packages by `hyper_more.js` beside it.

mod bee;
mod crypto;
mod drive;
mod feed;
mod wire;

use gannet::drive::hyper::{Block, Blocks, Malformed};
use serde_json::Value;

/// The blocks of a bee.
struct Core(Vec<Vec<u8>>);

impl Blocks for Core {
    type Error = Malformed;
    fn block(&mut self, seq: u64) -> Result<Block, Malformed> {
        Block::decode(seq, self.0.get(seq as usize).ok_or(Malformed)?)
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/hyper.json")).unwrap()
}

fn more() -> Value {
    serde_json::from_str(include_str!("../vectors/hyper_more.json")).unwrap()
}

fn bytes(v: &Value) -> Vec<u8> {
    hex::decode(v.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(v: &Value) -> [u8; N] {
    bytes(v).try_into().unwrap()
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().unwrap()
}
