//! The Python module `pulka._native`: converts, releases the GIL, maps errors. The logic is in `pulka-core`, `pulka-l7`, `pulka-edge`.

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
mod patterns;
#[cfg(target_os = "linux")]
mod probe;
mod pruning;
mod search;
mod summary;
mod text;

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a mutex holds; a panic in between has left it usable.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        patterns::register(module)?;
        #[cfg(target_os = "linux")]
        probe::register(module)?;
        pruning::register(module)?;
        search::register(module)?;
        summary::register(module)?;
        text::register(module)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
