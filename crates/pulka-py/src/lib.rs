//! The Python module `pulka._native`: converts, releases the GIL, maps errors. The logic is in `pulka-core` and `pulka-l7`.

mod batch;
mod capture;
mod csv;
mod decode;
mod decompress;
mod fingerprint;
mod fragment;
mod journal;
mod options;
mod otlp;
mod pruning;
mod search;
mod text;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
mod _native {
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        batch::register(module)?;
        capture::register(module)?;
        csv::register(module)?;
        decode::register(module)?;
        decompress::register(module)?;
        fingerprint::register(module)?;
        fragment::register(module)?;
        journal::register(module)?;
        options::register(module)?;
        otlp::register(module)?;
        pruning::register(module)?;
        search::register(module)?;
        text::register(module)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
