//! Every generated codec by the name of its schema, made from the crate's own lists so that none is left out.

use logspine_protocol::wire::{DecodeError, IntoStatic, Message, Reader, Writer};
use std::collections::BTreeMap;

/// Decodes and encodes again.
type Recode = fn(&[u8], i16) -> Result<Vec<u8>, String>;

/// Decodes and forgets.
type Decode = fn(&mut Reader<'_>, i16) -> Result<(), DecodeError>;

/// One schema's codec.
#[derive(Clone, Copy)]
pub struct Codec {
    pub min: i16,
    pub max: i16,
    pub recode: Recode,
    pub decode: Decode,
}

/// All codecs.
pub fn all() -> BTreeMap<String, Codec> {
    let mut codecs = BTreeMap::new();
    macro_rules! messages {
        (requests { $($request_module:ident::$request:ident)* } responses { $($response_module:ident::$response:ident)* }) => {
            $(add!(concat!("messages/", stringify!($request)), logspine_protocol::messages::$request_module::$request);)*
            $(add!(concat!("messages/", stringify!($response)), logspine_protocol::messages::$response_module::$response);)*
        };
    }
    macro_rules! records {
        ($family:ident $($schema:ident)*) => {
            $(add!(
                concat!(folder!($family), "/", stringify!($schema)),
                logspine_protocol::records::$family::$schema
            );)*
        };
    }
    macro_rules! folder {
        (control) => {
            "messages"
        };
        (consumer) => {
            "messages"
        };
        ($family:ident) => {
            stringify!($family)
        };
    }
    macro_rules! add {
        ($name:expr, $type:path) => {{
            use $type as Schema;
            let (min, max) = (Schema::MIN_VERSION, Schema::MAX_VERSION);
            let recode: Recode = |bytes, version| {
                let mut r = Reader::new(bytes);
                let message = Schema::decode(&mut r, version).map_err(|e| e.to_string())?;
                r.finish("the message").map_err(|e| e.to_string())?;
                let mut w = Writer::new();
                message.encode(&mut w, version).map_err(|e| e.to_string())?;
                // A copy without borrows must be the same message.
                let mut copy = Writer::new();
                message.into_static().encode(&mut copy, version).map_err(|e| e.to_string())?;
                if copy.as_bytes() != w.as_bytes() {
                    return Err("the copy without borrows differs".to_owned());
                }
                Ok(w.into_bytes())
            };
            let decode: Decode = |r, version| Schema::decode(r, version).map(drop);
            codecs.insert($name.to_owned(), Codec { min, max, recode, decode });
        }};
    }
    logspine_protocol::for_each_message!(messages);
    logspine_protocol::for_each_group_record!(records);
    logspine_protocol::for_each_transaction_record!(records);
    logspine_protocol::for_each_metadata_record!(records);
    logspine_protocol::for_each_storage_record!(records);
    logspine_protocol::for_each_control_record!(records);
    logspine_protocol::for_each_consumer_record!(records);
    codecs
}
