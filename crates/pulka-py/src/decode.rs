//! Bindings of `pulka_core::decode`.
