//! The Python module `pulka._native`: converts, releases the GIL, maps errors. The logic is in `pulka-core`.

mod batch;
mod csv;
mod decode;
mod decompress;
mod fragment;
mod journal;
mod options;
mod otlp;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
mod _native {
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        journal::register(module)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
