//! The machine that a pickle is a program for, without what makes it dangerous: it calls nothing.
//!
//! Instructions push values on a stack and put them together; the functions that they name stand in a closed list
//! ([`Global`]), and each becomes the value that it would have made. Protocols 2 to 5 are known: what `torch.save` writes
//! in any of its versions. An instruction costs a bounded number of bytes, and their number is limited.

use std::{collections::HashMap, str};

use super::{
    PickleError,
    globals::Global,
    value::{Description, Pickled, Storage, Value},
};
use crate::checkpoint::cursor::Cursor;

/// The largest Whisper has 1259 tensors of some 30 instructions each; a training state with an optimiser three times that.
const LONGEST: usize = 1 << 20;
/// No function of the list takes more.
const MOST_ARGUMENTS: usize = 8;

/// Follows one pickle to its end.
///
/// # Errors
/// [`PickleError`] for a name that is not on the list, and for damage.
pub(super) fn follow<'a>(cursor: &mut Cursor<'a>) -> Result<Pickled<'a>, PickleError> {
    let mut machine = Machine {
        cursor: *cursor,
        start: cursor.position(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        built: Pickled::default(),
        copied: 0,
    };
    for _ in 0..LONGEST {
        if let Some(root) = machine.step()? {
            machine.built.root = Some(root);
            *cursor = machine.cursor;
            return Ok(machine.built);
        }
    }
    Err(PickleError::TooLong { limit: LONGEST })
}

struct Machine<'a> {
    cursor: Cursor<'a>,
    start: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    built: Pickled<'a>,
    /// Entries of dictionaries that were made from lists.
    copied: usize,
}

impl<'a> Machine<'a> {
    /// One instruction. The value that the pickle ends with, at its end.
    fn step(&mut self) -> Result<Option<Value<'a>>, PickleError> {
        let opcode = self.read(Cursor::u8)?;
        match opcode {
            // PROTO, FRAME: nothing depends on them.
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            // POP_MARK, ADDITEMS.
            b'1' | 0x90 => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'c' | 0x93 => self.global(opcode)?,
            b'R' | 0x81 => self.call()?,
            b'b' => self.build()?,
            b'Q' => self.persistent()?,
            b'q' | b'r' | b'h' | b'j' | 0x94 => self.memorise(opcode)?,
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'a' | b'e' => self.sequence(opcode)?,
            b'}' | b'd' | b's' | b'u' => self.dict(opcode)?,
            // EMPTY_SET, FROZENSET.
            0x8f => self.stack.push(Value::Other),
            0x91 => {
                self.pop_mark()?;
                self.stack.push(Value::Other);
            }
            _ => {
                let value = self.atom(opcode)?;
                self.stack.push(value);
            }
        }
        Ok(None)
    }

    /// A value without parts.
    fn atom(&mut self, opcode: u8) -> Result<Value<'a>, PickleError> {
        Ok(match opcode {
            b'N' => Value::Other,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Integer(i128::from(self.read(Cursor::u32)?.cast_signed())),
            b'K' => Value::Integer(i128::from(self.read(Cursor::u8)?)),
            b'M' => Value::Integer(i128::from(self.read(Cursor::u16)?)),
            0x8a => {
                let length = self.read(Cursor::u8)?;
                integer(self.bytes(length.into())?)
            }
            0x8b => {
                let length = self.read(Cursor::u32)?;
                integer(self.bytes(length.into())?)
            }
            b'G' => {
                self.skip(8)?;
                Value::Other
            }
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8.
            0x8c => {
                let length = self.read(Cursor::u8)?;
                self.text(length.into())?
            }
            b'X' => {
                let length = self.read(Cursor::u32)?;
                self.text(length.into())?
            }
            0x8d => {
                let length = self.read(Cursor::u64)?;
                self.text(length)?
            }
            // SHORT_BINSTRING and BINSTRING: text of Python 2.
            b'U' => {
                let length = self.read(Cursor::u8)?;
                self.maybe_text(length.into())?
            }
            b'T' => {
                let length = self.read(Cursor::u32)?;
                self.maybe_text(length.into())?
            }
            // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8.
            b'C' => {
                let length = self.read(Cursor::u8)?;
                self.skip(length.into())?;
                Value::Other
            }
            b'B' => {
                let length = self.read(Cursor::u32)?;
                self.skip(length.into())?;
                Value::Other
            }
            0x8e | 0x96 => {
                let length = self.read(Cursor::u64)?;
                self.skip(length)?;
                Value::Other
            }
            _ => {
                return Err(PickleError::Opcode {
                    at: self.at().saturating_sub(1),
                    opcode,
                });
            }
        })
    }

    /// GLOBAL and STACK_GLOBAL.
    fn global(&mut self, opcode: u8) -> Result<(), PickleError> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let (Value::Text(module), Value::Text(name)) = (module, name) else {
                return Err(self.damaged("a name is no text"));
            };
            (module, name)
        };
        let global = Global::named(module, name).ok_or_else(|| PickleError::Runs {
            name: shortened(&format!("{module}.{name}")),
        })?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    /// REDUCE and NEWOBJ: what the function would have made.
    fn call(&mut self) -> Result<(), PickleError> {
        let (arguments, called) = (self.pop()?, self.pop()?);
        let Value::Global(global) = called else {
            return Err(self.damaged("it calls something that is no name"));
        };
        let wrong = self.damaged("a call has other arguments than it takes");
        let arguments = self.built.sequence(arguments);
        let arguments = arguments.filter(|arguments| arguments.len() <= MOST_ARGUMENTS);
        let arguments = arguments.ok_or(wrong)?.to_vec();
        let value = match global {
            Global::Dict => self.new_dict(&arguments)?,
            Global::RebuildTensor => self.tensor(&arguments)?,
            Global::RebuildParameter | Global::Size => self.first(&arguments)?,
            Global::Storage(_) => return Err(self.damaged("it makes a storage")),
            Global::Ignored => Value::Other,
        };
        self.stack.push(value);
        Ok(())
    }

    fn first(&self, arguments: &[Value<'a>]) -> Result<Value<'a>, PickleError> {
        let first = arguments.first().copied();
        first.ok_or_else(|| self.damaged("a call has no arguments"))
    }

    /// Python 2 hands the pairs of an ordered dictionary over as lists of two.
    fn new_dict(&mut self, arguments: &[Value<'a>]) -> Result<Value<'a>, PickleError> {
        let mut entries = Vec::new();
        let lists = arguments
            .iter()
            .filter_map(|list| self.built.sequence(*list));
        for pair in lists.flatten() {
            match self.built.sequence(*pair) {
                Some(&[key, value]) => entries.push((key, value)),
                _ => return Err(self.damaged("an entry of a dictionary is no pair")),
            }
        }
        // One list may be handed over again and again.
        self.copied += entries.len();
        if self.copied > LONGEST {
            return Err(PickleError::TooLong { limit: LONGEST });
        }
        Ok(self.keep_dict(entries))
    }

    fn tensor(&mut self, arguments: &[Value<'a>]) -> Result<Value<'a>, PickleError> {
        let described = match *arguments {
            [Value::Storage(storage), offset, shape, strides, ..] => {
                self.describe(storage, offset, shape, strides)
            }
            _ => None,
        };
        let described =
            described.ok_or_else(|| self.damaged("a tensor is not described as PyTorch does"))?;
        self.built.tensors.push(described);
        Ok(Value::Tensor(self.built.tensors.len() - 1))
    }

    fn describe(
        &self,
        storage: usize,
        offset: Value<'a>,
        shape: Value<'a>,
        strides: Value<'a>,
    ) -> Option<Description<'a>> {
        let (shape, strides) = (self.built.sizes(shape)?, self.built.sizes(strides)?);
        (shape.len() == strides.len()).then_some(Description {
            storage: *self.built.storages.get(storage)?,
            offset: offset.size()?,
            shape,
            strides,
        })
    }

    /// BUILD: what PyTorch adds to a dictionary or a tensor beside its entries.
    fn build(&mut self) -> Result<(), PickleError> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) | Value::Tensor(_) | Value::Other => Ok(()),
            _ => Err(self.damaged("it sets the state of something that has none")),
        }
    }

    /// BINPERSID: `('storage', type, key, device, length)`, with a part of it behind, before PyTorch 1.6.
    fn persistent(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let storage = self.built.sequence(id).and_then(|id| self.storage(id));
        let storage =
            storage.ok_or_else(|| self.damaged("a storage is not described as PyTorch does"))?;
        self.built.storages.push(storage);
        self.stack
            .push(Value::Storage(self.built.storages.len() - 1));
        Ok(())
    }

    fn storage(&self, id: &[Value<'a>]) -> Option<Storage<'a>> {
        let [
            Value::Text("storage"),
            Value::Global(Global::Storage(element)),
            Value::Text(key),
            _device,
            length,
            part @ ..,
        ] = id
        else {
            return None;
        };
        let whole = length.size()?;
        // (key of the part, offset, length)
        let part = part.first().and_then(|part| self.built.sequence(*part));
        let (first, length) = match part {
            Some([_, first, length]) => (first.size()?, length.size()?),
            Some(_) => return None,
            None => (0, whole),
        };
        Some(Storage {
            key,
            element: *element,
            first,
            length,
        })
    }

    /// BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET.
    fn memorise(&mut self, opcode: u8) -> Result<(), PickleError> {
        let place = match opcode {
            b'q' | b'h' => u64::from(self.read(Cursor::u8)?),
            b'r' | b'j' => u64::from(self.read(Cursor::u32)?),
            _ => self.memo.len() as u64,
        };
        if matches!(opcode, b'h' | b'j') {
            let value = self.memo.get(&place).copied();
            let value = value.ok_or_else(|| self.damaged("it asks for what it never kept"))?;
            self.stack.push(value);
        } else {
            let top = self.top()?;
            self.memo.insert(place, top);
        }
        Ok(())
    }

    /// EMPTY_TUPLE, TUPLE, TUPLE1 to TUPLE3, EMPTY_LIST, LIST, APPEND, APPENDS.
    fn sequence(&mut self, opcode: u8) -> Result<(), PickleError> {
        let values = match opcode {
            b')' | b']' => Vec::new(),
            b't' | b'l' | b'e' => self.pop_mark()?,
            b'a' => vec![self.pop()?],
            count => self.pop_many(usize::from(count - 0x84))?,
        };
        if !matches!(opcode, b'a' | b'e') {
            self.built.sequences.push(values);
            let at = self.built.sequences.len() - 1;
            self.stack.push(Value::Sequence(at));
            return Ok(());
        }
        match self.top()? {
            Value::Sequence(at) => self.built.sequences[at].extend(values),
            Value::Other => {}
            _ => return Err(self.damaged("it appends to something that is no list")),
        }
        Ok(())
    }

    /// EMPTY_DICT, DICT, SETITEM, SETITEMS.
    fn dict(&mut self, opcode: u8) -> Result<(), PickleError> {
        let values = match opcode {
            b'}' => Vec::new(),
            b's' => self.pop_many(2)?,
            _ => self.pop_mark()?,
        };
        let (pairs, odd) = values.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(self.damaged("a dictionary has a key without a value"));
        }
        let entries: Vec<_> = pairs.iter().map(|[key, value]| (*key, *value)).collect();
        if matches!(opcode, b'}' | b'd') {
            let dict = self.keep_dict(entries);
            self.stack.push(dict);
            return Ok(());
        }
        match self.top()? {
            Value::Dict(at) => self.built.dicts[at].extend(entries),
            Value::Other => {}
            _ => return Err(self.damaged("it sets an entry of something that is no dictionary")),
        }
        Ok(())
    }

    fn keep_dict(&mut self, entries: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        self.built.dicts.push(entries);
        Value::Dict(self.built.dicts.len() - 1)
    }

    /// No value is popped from below a mark.
    fn pop(&mut self) -> Result<Value<'a>, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let popped = (self.stack.len() > floor)
            .then(|| self.stack.pop())
            .flatten();
        popped.ok_or_else(|| self.damaged("a value is missing"))
    }

    fn top(&self) -> Result<Value<'a>, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(floor..).and_then(<[_]>::last).copied();
        top.ok_or_else(|| self.damaged("a value is missing"))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let at = self
            .stack
            .len()
            .checked_sub(count)
            .filter(|at| *at >= floor);
        let at = at.ok_or_else(|| self.damaged("a value is missing"))?;
        Ok(self.stack.split_off(at))
    }

    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>, PickleError> {
        let mark = self.marks.pop();
        let mark = mark.ok_or_else(|| self.damaged("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn read<T>(&mut self, read: fn(&mut Cursor<'a>) -> Option<T>) -> Result<T, PickleError> {
        read(&mut self.cursor).ok_or_else(|| self.cut())
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        self.cursor.take_long(length).ok_or_else(|| self.cut())
    }

    fn skip(&mut self, length: u64) -> Result<(), PickleError> {
        self.bytes(length).map(drop)
    }

    fn line(&mut self) -> Result<&'a str, PickleError> {
        let line = self.read(Cursor::line)?;
        str::from_utf8(line).map_err(|_| self.damaged("a name is no text"))
    }

    fn text(&mut self, length: u64) -> Result<Value<'a>, PickleError> {
        let text = str::from_utf8(self.bytes(length)?);
        text.map(Value::Text)
            .map_err(|_| self.damaged("a text is not UTF-8"))
    }

    /// Python 2 has one type for text and for bytes.
    fn maybe_text(&mut self, length: u64) -> Result<Value<'a>, PickleError> {
        let text = str::from_utf8(self.bytes(length)?);
        Ok(text.map_or(Value::Other, Value::Text))
    }

    fn at(&self) -> usize {
        self.cursor.position() - self.start
    }

    fn cut(&self) -> PickleError {
        self.damaged("it ends there")
    }

    fn damaged(&self, what: &'static str) -> PickleError {
        PickleError::Damaged {
            at: self.at(),
            what,
        }
    }
}

/// Little-endian, of any length. What is longer than 16 bytes is no number that matters here.
fn integer<'a>(bytes: &[u8]) -> Value<'a> {
    if bytes.len() > size_of::<i128>() {
        return Value::Other;
    }
    let is_negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut whole = [if is_negative { 0xff } else { 0 }; size_of::<i128>()];
    whole[..bytes.len()].copy_from_slice(bytes);
    Value::Integer(i128::from_le_bytes(whole))
}

/// For a message: a hostile name may be as long as the file.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = name.chars().take(LONGEST).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
}
