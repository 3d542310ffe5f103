//! The model that is built into the program.

use dewdrop_store::Checkpoint;

use crate::Error;

/// Opens the built-in model, where it lies in the program's own image.
#[cfg(feature = "built-in")]
pub fn built_in() -> Result<Checkpoint, Error> {
    /// Aligned for any vector load, as `include_bytes` alone is not.
    #[repr(C, align(64))]
    struct Aligned<T: ?Sized>(T);

    static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../models/dew-10m.gguf"));
    Ok(Checkpoint::from_static("dew-10m", &MODEL.0)?)
}

/// Says that there is none.
#[cfg(not(feature = "built-in"))]
pub fn built_in() -> Result<Checkpoint, Error> {
    Err(Error::NoBuiltIn)
}
