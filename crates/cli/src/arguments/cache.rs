//! What keys and values are kept as.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use dewdrop::{KV_TYPES, KvType, Options};

/// What keys and values are kept as.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct CacheArguments {
    /// What keys are kept as (-ctk) [default: i16, or f16 where heads do not fit; with --exact-math, f32]
    #[arg(long, value_name = "TYPE", value_parser = kv_type())]
    cache_type_k: Option<KvType>,

    /// What values are kept as (-ctv) [default: i16, or f16 where heads do not fit; with --exact-math, f32]
    #[arg(long, value_name = "TYPE", value_parser = kv_type())]
    cache_type_v: Option<KvType>,
}

/// Options that llama.cpp spells with one dash and several letters.
pub(crate) const SPELLINGS: [(&str, &str); 2] = [("-ctk", "--cache-type-k"), ("-ctv", "--cache-type-v")];

impl CacheArguments {
    /// The options with these types.
    pub(crate) fn of(self, options: Options) -> Options {
        Options { keys: self.cache_type_k, values: self.cache_type_v, ..options }
    }
}

fn kv_type() -> impl TypedValueParser<Value = KvType> {
    PossibleValuesParser::new(KV_TYPES.map(KvType::name)).map(|name| {
        let named = KV_TYPES.into_iter().find(|kv| kv.name() == name);
        named.expect("one of the possible values")
    })
}
