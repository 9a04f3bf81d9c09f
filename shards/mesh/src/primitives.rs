//! The atomics and cells the mesh is built on: those of the standard library, or loom's models under `cfg(loom)`.
//!
//! Nothing else in the mesh names `std::sync::atomic`, so that what loom explores is the code that ships.

#[cfg(loom)]
pub(super) use loom::{
    cell::UnsafeCell,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
pub(super) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};

/// The standard cell with loom's two accessors; handing out the pointer is safe, reading through it is not.
#[cfg(not(loom))]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(super) fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
        access(self.0.get())
    }

    #[inline]
    pub(super) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}

/// Keeps a value on cache lines of its own.
///
/// 128 bytes, not 64: adjacent lines are fetched in pairs on current x86 cores, and some arm64 lines are 128 bytes long.
#[repr(align(128))]
pub(super) struct CachePadded<T>(pub(super) T);
