//! Bindings of `pulka_core::fragment`.
