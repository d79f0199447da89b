//! Bindings of `pulka_core::batch`.
