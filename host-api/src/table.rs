//! The resources one instance holds.
//!
//! wasmtime's own `ResourceTable` boxes every resource as `dyn Any`; a request makes a dozen, so here
//! they are one closed set in one vector, with the free slots threaded through it.

use crate::data::GuestTransaction;
use crate::files::UploadBody;
use crate::http::body::{BodyReader, FutureTrailers};
use crate::http::fields::Fields;
use crate::http::message::{
    FutureResponse, IncomingRequest, IncomingResponse, OutgoingRequest, OutgoingResponse,
    RequestOptions,
};
use crate::http::pipe::OutgoingBody;
use crate::http::response::ResponseOutparam;
use crate::meter::Exceeded;
use crate::secrets::Secret;
use crate::wasi::io::{InputStream, IoError, OutputStream, Pollable};

const NONE: u32 = u32::MAX;

/// Why a handle did not lead to its resource; always a trap. A full table is [`Exceeded::Handles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableError {
    #[error("a resource was dropped before one that was made from it")]
    HasChildren,
    #[error("no such resource")]
    Missing,
}

pub(crate) struct Table {
    slots: Vec<Slot>,
    free: u32,
    max: u32,
}

struct Slot {
    parent: u32,
    children: u32,
    object: Object,
}

/// One of the types below; `store` puts it into a slot, the others take it out again.
pub(crate) trait Stored: Sized {
    fn store(self) -> Object;
    fn of(object: &Object) -> Option<&Self>;
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
    fn take(object: Object) -> Option<Self>;
}

macro_rules! objects {
    ($($kind:ident($type:ty)),* $(,)?) => {
        pub(crate) enum Object {
            Free { next: u32 },
            $($kind($type)),*
        }

        $(impl Stored for $type {
            fn store(self) -> Object {
                Object::$kind(self)
            }
            fn of(object: &Object) -> Option<&Self> {
                match object {
                    Object::$kind(it) => Some(it),
                    _ => None,
                }
            }
            fn of_mut(object: &mut Object) -> Option<&mut Self> {
                match object {
                    Object::$kind(it) => Some(it),
                    _ => None,
                }
            }
            fn take(object: Object) -> Option<Self> {
                match object {
                    Object::$kind(it) => Some(it),
                    _ => None,
                }
            }
        })*
    };
}

objects! {
    Fields(Fields),
    // Boxed where a type is large and rare, so that a slot stays small.
    IncomingRequest(Box<IncomingRequest>),
    BodyReader(Box<BodyReader>),
    IncomingResponse(Box<IncomingResponse>),
    OutgoingRequest(Box<OutgoingRequest>),
    OutgoingResponse(OutgoingResponse),
    OutgoingBody(OutgoingBody),
    ResponseOutparam(ResponseOutparam),
    RequestOptions(RequestOptions),
    FutureResponse(FutureResponse),
    FutureTrailers(FutureTrailers),
    InputStream(InputStream),
    OutputStream(OutputStream),
    Pollable(Pollable),
    IoError(IoError),
    Secret(Secret),
    Transaction(Box<GuestTransaction>),
    UploadBody(Box<UploadBody>),
}

impl Table {
    pub(crate) fn new(max: u32) -> Self {
        Table {
            // A request that is answered in one go makes about ten resources, seldom over eight at once.
            slots: Vec::with_capacity(8),
            free: NONE,
            max,
        }
    }

    pub(crate) fn push<S: Stored>(&mut self, resource: S) -> wasmtime::Result<u32> {
        self.insert(resource.store(), NONE)
    }

    /// Adds a resource that must be dropped before `parent`.
    pub(crate) fn push_child<S: Stored>(
        &mut self,
        resource: S,
        parent: u32,
    ) -> wasmtime::Result<u32> {
        self.slot_mut(parent)?;
        let rep = self.insert(resource.store(), parent)?;
        self.slot_mut(parent)?.children += 1;
        Ok(rep)
    }

    pub(crate) fn get<S: Stored>(&self, rep: u32) -> wasmtime::Result<&S> {
        let slot = self.slots.get(rep as usize).ok_or_else(missing)?;
        S::of(&slot.object).ok_or_else(missing)
    }

    pub(crate) fn get_mut<S: Stored>(&mut self, rep: u32) -> wasmtime::Result<&mut S> {
        S::of_mut(&mut self.slot_mut(rep)?.object).ok_or_else(missing)
    }

    /// Takes a resource out; its handle may be given to another one.
    pub(crate) fn delete<S: Stored>(&mut self, rep: u32) -> wasmtime::Result<S> {
        let next = self.free;
        let slot = self.slot_mut(rep)?;
        if S::of(&slot.object).is_none() {
            return Err(missing());
        }
        if slot.children > 0 {
            return Err(TableError::HasChildren.into());
        }
        let object = std::mem::replace(&mut slot.object, Object::Free { next });
        let parent = std::mem::replace(&mut slot.parent, NONE);
        self.free = rep;
        if parent != NONE {
            self.slot_mut(parent)?.children -= 1;
        }
        S::take(object).ok_or_else(missing)
    }

    fn insert(&mut self, object: Object, parent: u32) -> wasmtime::Result<u32> {
        let slot = Slot {
            parent,
            children: 0,
            object,
        };
        if self.free != NONE {
            let rep = self.free;
            let place = self.slot_mut(rep)?;
            let Object::Free { next } = place.object else {
                return Err(missing());
            };
            *place = slot;
            self.free = next;
            return Ok(rep);
        }
        let rep = self.slots.len() as u32;
        if rep >= self.max {
            return Err(Exceeded::Handles(self.max).into());
        }
        self.slots.push(slot);
        Ok(rep)
    }

    fn slot_mut(&mut self, rep: u32) -> wasmtime::Result<&mut Slot> {
        self.slots.get_mut(rep as usize).ok_or_else(missing)
    }
}

#[cold]
fn missing() -> wasmtime::Error {
    TableError::Missing.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused_and_bounded() {
        let mut table = Table::new(2);
        let first = table.push(Fields::default()).unwrap();
        let second = table.push(Fields::default()).unwrap();
        let full = table.push(Fields::default()).unwrap_err();
        assert_eq!(full.downcast_ref(), Some(&Exceeded::Handles(2)));
        table.delete::<Fields>(first).unwrap();
        assert_eq!(table.push(Fields::default()).unwrap(), first);
        assert!(table.get::<Fields>(second).is_ok());
        assert!(table.get::<Pollable>(second).is_err());
        assert!(table.delete::<Pollable>(second).is_err());
        assert!(table.get::<Fields>(7).is_err());
    }

    #[test]
    fn a_parent_outlives_its_children() {
        let mut table = Table::new(8);
        let parent = table.push(Fields::default()).unwrap();
        let child = table.push_child(Fields::default(), parent).unwrap();
        let early = table.delete::<Fields>(parent).err().unwrap();
        assert_eq!(early.downcast_ref(), Some(&TableError::HasChildren));
        table.delete::<Fields>(child).unwrap();
        table.delete::<Fields>(parent).unwrap();
        assert!(table.delete::<Fields>(parent).is_err());
    }
}
