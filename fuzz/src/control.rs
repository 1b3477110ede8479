//! Lines from whoever may open the control socket.

use gannet::limits::CONTROL_REQUEST_BYTES;
use gannet::node::control::{self, Block, Request, What};

pub fn line(data: &[u8]) {
    if let Ok(Some((request, len))) = control::decode(data) {
        assert!(len <= data.len() && len <= CONTROL_REQUEST_BYTES);
        let again = control::encode(&request);
        assert_eq!(control::decode(&again), Ok(Some((request, again.len()))));
    }
}

pub fn line_seeds() -> Vec<Vec<u8>> {
    let append = Request::append(vec![Block(b"a block".to_vec()), Block(Vec::new())]);
    let ask = Request::ask(What::Status, true);
    vec![control::encode(&append), control::encode(&ask), control::encode(&ask).repeat(2)]
}
