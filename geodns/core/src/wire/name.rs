//! Domain names in wire form: reading, comparing, taking apart.
//!
//! In: bytes of a message. Out: [`NameRef`] (borrowed), [`Folded`] and [`Unpacked`] (on the stack),
//! [`Name`] (owned, for what is loaded). Always holds: a name that exists as one of these types has
//! labels of 1 to 63 bytes, 255 bytes in all, the root at its end and no pointer; comparing and
//! hashing ignore the case of ASCII letters and of nothing else (RFC 4343 §3).
//! It deliberately does not know how names are typed; [`super::text`] does.
//!
//! RFC 1035 §3.1, §4.1.4. Hot path: only [`Name`] allocates.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

/// The longest name, with its length bytes and its root (RFC 1035 §2.3.4).
pub const NAME_BYTES_MAX: usize = 255;
/// The longest label (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// A name that stands somewhere in uncompressed wire form.
#[derive(Clone, Copy, Debug)]
pub struct NameRef<'a>(&'a [u8]);

/// A name of its own.
#[derive(Clone, Debug)]
pub struct Name(Box<[u8]>);

/// A name in lower case, on the stack: what tables of names are asked with.
#[derive(Clone, Copy, Debug)]
pub struct Folded(Unpacked);

/// A name on the stack, its pointers resolved.
#[derive(Clone, Copy, Debug)]
pub struct Unpacked {
    bytes: [u8; NAME_BYTES_MAX],
    length: usize,
}

/// Why bytes are not a name. The sender is at fault: FORMERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The message ends first.
    #[error("the name does not end")]
    Truncated,
    /// A label that is neither text nor pointer (RFC 6891 §5).
    #[error("a label of an unknown kind")]
    LabelKind,
    /// More than 255 bytes.
    #[error("a name of more than 255 bytes")]
    TooLong,
    /// A pointer where none can be.
    #[error("a pointer where none can be")]
    Compressed,
    /// A pointer that does not point backwards.
    #[error("a pointer that does not point backwards")]
    Pointer,
}

impl<'a> NameRef<'a> {
    /// The root.
    pub const ROOT: NameRef<'static> = NameRef(&[0]);

    /// The uncompressed name at the beginning of `bytes`, and what follows it.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), NameError> {
        let mut at = 0_usize;
        loop {
            let length = *bytes.get(at).ok_or(NameError::Truncated)?;
            at = at.saturating_add(1);
            if at > NAME_BYTES_MAX {
                return Err(NameError::TooLong);
            }
            match label(length)? {
                Label::Root => {
                    let (name, rest) = bytes.split_at_checked(at).ok_or(NameError::Truncated)?;
                    return Ok((Self(name), rest));
                }
                Label::Text(length) => at = at.saturating_add(length),
                Label::Pointer(_) => return Err(NameError::Compressed),
            }
        }
    }

    /// The wire form, root included.
    #[must_use]
    pub const fn wire(self) -> &'a [u8] {
        self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub const fn is_root(self) -> bool {
        self.0.len() <= 1
    }

    /// The labels from the left, without the root.
    #[must_use]
    pub const fn labels(self) -> Labels<'a> {
        Labels(self.0)
    }

    /// How many labels there are, without the root.
    #[must_use]
    pub fn label_count(self) -> usize {
        self.labels().count()
    }

    /// The name without its leftmost label; nothing for the root.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        let (length, rest) = self.0.split_first()?;
        if *length == 0 {
            return None;
        }
        rest.get(usize::from(*length)..).map(Self)
    }

    /// This name and all its parents, the root last.
    pub fn ancestry(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |name| name.parent())
    }

    /// The last `labels` labels of the name, or all it has.
    #[must_use]
    pub fn last_labels(self, labels: usize) -> Self {
        let excess = self.label_count().saturating_sub(labels);
        self.ancestry().nth(excess).unwrap_or(self)
    }

    /// Whether the name is `apex` or below it.
    #[must_use]
    pub fn is_within(self, apex: NameRef<'_>) -> bool {
        let tail = |name: Self| name.0.len() <= apex.0.len();
        self.ancestry().find(|name| tail(*name)).is_some_and(|name| name == apex)
    }

    /// Whether the leftmost label is `*` (RFC 4592 §2.1.1).
    #[must_use]
    pub fn is_wildcard(self) -> bool {
        self.0.starts_with(b"\x01*")
    }
}

/// See [`NameRef::labels`].
#[derive(Clone, Debug)]
pub struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first()?;
        if *length == 0 {
            return None;
        }
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some(label)
    }
}

/// Length bytes are below the letters, so the wire form can be compared and folded as it is.
impl PartialEq<NameRef<'_>> for NameRef<'_> {
    fn eq(&self, other: &NameRef<'_>) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for NameRef<'_> {}

impl Hash for NameRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0 {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

/// The canonical order of RFC 4034 §6.1: by labels from the right.
impl Ord for NameRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.label_count(), other.label_count());
        let common = ours.min(theirs);
        let pairs = self.last_labels(common).labels().zip(other.last_labels(common).labels());
        let mut order = Ordering::Equal;
        for (left, right) in pairs {
            let left = left.iter().map(u8::to_ascii_lowercase);
            // The pairs come from the left; the rightmost that differs decides.
            order = match left.cmp(right.iter().map(u8::to_ascii_lowercase)) {
                Ordering::Equal => order,
                unequal @ (Ordering::Less | Ordering::Greater) => unequal,
            };
        }
        order.then(ours.cmp(&theirs))
    }
}

impl PartialOrd for NameRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Name {
    /// The borrowed form.
    #[must_use]
    pub const fn as_ref(&self) -> NameRef<'_> {
        NameRef(&self.0)
    }

    /// A name made of `bytes`, which are its whole wire form.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, NameError> {
        let (name, rest) = NameRef::read(bytes)?;
        if rest.is_empty() { Ok(name.into()) } else { Err(NameError::LabelKind) }
    }
}

impl From<NameRef<'_>> for Name {
    fn from(name: NameRef<'_>) -> Self {
        Self(name.0.into())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Folded {
    /// The same name in lower case.
    #[must_use]
    pub fn of(name: NameRef<'_>) -> Self {
        let mut folded = Unpacked::EMPTY;
        for (to, from) in folded.bytes.iter_mut().zip(name.0) {
            *to = from.to_ascii_lowercase();
        }
        folded.length = name.0.len();
        Self(folded)
    }

    /// The borrowed form.
    #[must_use]
    pub fn as_ref(&self) -> NameRef<'_> {
        self.0.as_ref()
    }
}

impl Unpacked {
    const EMPTY: Self = Self { bytes: [0; NAME_BYTES_MAX], length: 0 };

    /// The name at `at` in `message`, and where the message goes on behind it.
    ///
    /// Each pointer must lead before the place where the labels that it ends began: what cannot
    /// go forward cannot loop (RFC 1035 §4.1.4, "a prior occurrence").
    pub fn read(message: &[u8], at: usize) -> Result<(Self, usize), NameError> {
        let mut name = Self::EMPTY;
        let (mut start, mut at, mut behind) = (at, at, None);
        // What a pointer leads to lies wholly before what points there.
        let mut end = message.len();
        loop {
            if at >= end {
                return Err(if behind.is_none() {
                    NameError::Truncated
                } else {
                    NameError::Pointer
                });
            }
            let length = *message.get(at).ok_or(NameError::Truncated)?;
            match label(length)? {
                Label::Root => {
                    name.push(&[0])?;
                    return Ok((name, behind.unwrap_or_else(|| at.saturating_add(1))));
                }
                Label::Text(length) => {
                    let end = at.saturating_add(1).saturating_add(length);
                    name.push(message.get(at..end).ok_or(NameError::Truncated)?)?;
                    at = end;
                }
                Label::Pointer(high) => {
                    let next = at.saturating_add(1);
                    let low = *message.get(next).ok_or(NameError::Truncated)?;
                    let target = usize::from(u16::from_be_bytes([high, low]));
                    if target >= start {
                        return Err(NameError::Pointer);
                    }
                    behind = behind.or_else(|| Some(next.saturating_add(1)));
                    (end, start, at) = (start, target, target);
                }
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), NameError> {
        let end = self.length.saturating_add(bytes.len());
        let room = self.bytes.get_mut(self.length..end).ok_or(NameError::TooLong)?;
        room.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    /// The borrowed form.
    #[must_use]
    pub fn as_ref(&self) -> NameRef<'_> {
        NameRef(self.bytes.get(..self.length).unwrap_or(&[0]))
    }
}

/// Where the message goes on behind the name at `at`, whose own labels are checked and whose
/// pointer, if it ends in one, leads backwards. Nobody asks for such a name, so it is not followed.
pub fn skip(message: &[u8], at: usize) -> Result<usize, NameError> {
    let start = at;
    let mut at = at;
    loop {
        let length = *message.get(at).ok_or(NameError::Truncated)?;
        let next = at.saturating_add(1);
        match label(length)? {
            Label::Root => return Ok(next),
            Label::Text(length) => at = next.saturating_add(length),
            Label::Pointer(high) => {
                let low = *message.get(next).ok_or(NameError::Truncated)?;
                if usize::from(u16::from_be_bytes([high, low])) >= start {
                    return Err(NameError::Pointer);
                }
                return Ok(next.saturating_add(1));
            }
        }
        if at.saturating_sub(start) >= NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
    }
}

/// What the first byte of a label says.
enum Label {
    Root,
    Text(usize),
    /// With the upper six bits of where it leads.
    Pointer(u8),
}

fn label(byte: u8) -> Result<Label, NameError> {
    match byte {
        0 => Ok(Label::Root),
        1..=63 => Ok(Label::Text(usize::from(byte))),
        0xc0..=0xff => Ok(Label::Pointer(byte & 0x3f)),
        // 0x40 were extended labels, abolished by RFC 6891 §5; 0x80 was never assigned.
        64..=0xbf => Err(NameError::LabelKind),
    }
}

#[cfg(test)]
#[expect(clippy::type_complexity, reason = "rows of tables")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes(), None).unwrap()
    }

    fn hash(name: NameRef<'_>) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn names_are_read_with_strict_limits() {
        let long = [[63_u8].as_slice(), &[b'a'; 63]].concat();
        let at_limit = [long.repeat(3), vec![61], vec![b'b'; 61], vec![0]].concat();
        let over_limit = [long.repeat(3), vec![62], vec![b'b'; 62], vec![0]].concat();
        let many = [b"\x01a".repeat(127).as_slice(), b"\0"].concat();
        let too_many = [b"\x01a".repeat(128).as_slice(), b"\0"].concat();
        let rows: &[(&str, &[u8], Result<usize, NameError>)] = &[
            ("RFC 1035 §3.1 root", b"\0rest", Ok(1)),
            ("RFC 1035 §3.1 labels", b"\x03www\x02de\0rest", Ok(8)),
            ("RFC 2181 §11 any byte", b"\x03\0.\xff\0", Ok(5)),
            ("RFC 1035 §2.3.4 255 bytes", &at_limit, Ok(255)),
            ("RFC 1035 §2.3.4 256 bytes", &over_limit, Err(NameError::TooLong)),
            ("RFC 1035 §2.3.4 127 labels", &many, Ok(255)),
            ("RFC 1035 §2.3.4 128 labels", &too_many, Err(NameError::TooLong)),
            ("RFC 1035 §3.1 nothing", b"", Err(NameError::Truncated)),
            ("RFC 1035 §3.1 no root", b"\x03www", Err(NameError::Truncated)),
            ("RFC 1035 §3.1 label cut", b"\x04www", Err(NameError::Truncated)),
            ("RFC 1035 §4.1.4 pointer", b"\x03www\xc0\x0c", Err(NameError::Compressed)),
            ("RFC 6891 §5 extended label", b"\x41\0", Err(NameError::LabelKind)),
            ("RFC 1035 §4.1.4 10 is reserved", b"\x80\0", Err(NameError::LabelKind)),
        ];
        for (row, bytes, expected) in rows {
            let read = NameRef::read(bytes).map(|(name, rest)| (name.wire().len(), rest.len()));
            assert_eq!(read, expected.map(|length| (length, bytes.len() - length)), "{row}");
        }
    }

    #[test]
    fn pointers_only_lead_backwards() {
        let rows: &[(&str, &[u8], usize, Result<(&str, usize), NameError>)] = &[
            ("RFC 1035 §4.1.4 a pointer alone", b"\x02de\0\xc0\0", 4, Ok(("de.", 6))),
            ("RFC 1035 §4.1.4 labels, pointer", b"\x02de\0\x01a\xc0\0", 4, Ok(("a.de.", 8))),
            ("RFC 1035 §4.1.4 no pointer", b"\x02de\0\x01a\0x", 4, Ok(("a.", 7))),
            ("RFC 1035 §4.1.4 twice", b"\x02de\0\x01a\xc0\0\xc0\x04", 8, Ok(("a.de.", 10))),
            ("RFC 1035 §4.1.4 to a root", b"\0\xc0\0", 1, Ok((".", 3))),
            ("RFC 1035 §4.1.4 to itself", b"\xc0\0", 0, Err(NameError::Pointer)),
            ("RFC 1035 §4.1.4 into itself", b"\x01a\xc0\0", 0, Err(NameError::Pointer)),
            ("RFC 1035 §4.1.4 forwards", b"\xc0\x02\0", 0, Err(NameError::Pointer)),
            ("RFC 1035 §4.1.4 two that loop", b"\x01a\xc0\x04\xc0\0", 4, Err(NameError::Pointer)),
            ("RFC 1035 §4.1.4 into what points", b"\x03a\xc0\0\0", 2, Err(NameError::Pointer)),
            ("RFC 1035 §4.1.4 half a pointer", b"\0\xc0", 1, Err(NameError::Truncated)),
            ("RFC 1035 §3.1 no root", b"\x01a", 0, Err(NameError::Truncated)),
            ("RFC 1035 §3.1 beyond the end", b"\x01a", 9, Err(NameError::Truncated)),
        ];
        for (row, message, at, expected) in rows {
            let read = Unpacked::read(message, *at);
            let text = read.as_ref().map(|(name, next)| (name.as_ref().to_string(), *next));
            let expected = expected.as_ref().map(|(text, next)| ((*text).to_owned(), *next));
            assert_eq!(text.map_err(|fault| *fault), expected.map_err(|fault| *fault), "{row}");
        }
    }

    #[test]
    fn a_name_may_not_grow_past_its_limit_through_pointers() {
        let mut message = vec![0];
        let mut last = 0_u16;
        for _ in 0..5 {
            let here = u16::try_from(message.len()).unwrap();
            message.extend([&[63_u8][..], &[b'a'; 63], &(0xc000 | last).to_be_bytes()].concat());
            last = here;
        }
        assert_eq!(Unpacked::read(&message, 1 + 66 * 2).map(|(_, next)| next), Ok(1 + 66 * 3));
        assert_eq!(
            Unpacked::read(&message, usize::from(last)).err(),
            Some(NameError::TooLong),
            "RFC 1035 §2.3.4"
        );
    }

    #[test]
    fn case_does_not_matter_and_nothing_else_is_folded() {
        let rows = [
            ("RFC 4343 §3 letters", "WWW.Example.", "www.example.", true),
            ("RFC 4343 §3 not [ and {", "a\\[.", "a\\{.", false),
            ("RFC 4343 §3.2 not beyond ASCII", "\\196.", "\\228.", false),
            ("RFC 1035 §3.1 other labels", "a.b.", "ab.", false),
            ("RFC 1035 §5.1 a dot within", "a\\.b.", "a.b.", false),
        ];
        for (row, left, right, equal) in rows {
            let (left, right) = (name(left), name(right));
            assert_eq!(left == right, equal, "{row}");
            assert_eq!(hash(left.as_ref()) == hash(right.as_ref()), equal, "{row}");
            assert_eq!(left.cmp(&right).is_eq(), equal, "{row}");
            assert!(left.as_ref() == Folded::of(left.as_ref()).as_ref(), "{row}");
        }
    }

    #[test]
    fn names_are_ordered_canonically() {
        let sorted = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "Z.a.example.",
            "zABC.a.EXAMPLE.",
            "z.example.",
            "\\001.z.example.",
            "*.z.example.",
            "\\200.z.example.",
        ];
        for pair in sorted.windows(2) {
            assert!(name(pair[0]) < name(pair[1]), "RFC 4034 §6.1 {pair:?}");
        }
    }

    #[test]
    fn names_are_taken_apart() {
        let full = name("a.b.c.");
        let within = |apex: &str| full.as_ref().is_within(name(apex).as_ref());
        assert_eq!(full.as_ref().label_count(), 3);
        assert_eq!(full.as_ref().labels().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(full.as_ref().last_labels(2).to_string(), "b.c.");
        assert_eq!(full.as_ref().last_labels(9).to_string(), "a.b.c.");
        assert_eq!(full.as_ref().parent().map(|parent| parent.to_string()), Some("b.c.".into()));
        assert_eq!(NameRef::ROOT.parent(), None);
        assert!(within("B.c.") && within("a.b.c.") && within("."));
        assert!(!within("a.a.b.c.") && !within("c.c.") && !within("b."));
        assert!(!name("xb.c.").as_ref().is_within(name("b.c.").as_ref()), "labels, not bytes");
        assert!(name("*.c.").as_ref().is_wildcard() && !name("**.c.").as_ref().is_wildcard());
        assert!(Name::from_wire(b"\x01a\0x").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_is_a_name(
            message in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..400,
        ) {
            if let Ok((read, next)) = Unpacked::read(&message, at) {
                let wire = read.as_ref().wire();
                prop_assert!(next <= message.len() && wire.len() <= NAME_BYTES_MAX);
                prop_assert_eq!(NameRef::read(wire).map(|(name, rest)| (name.wire().len(), rest.len())), Ok((wire.len(), 0)));
                prop_assert_eq!(skip(&message, at), Ok(next));
            }
            if let Ok(next) = skip(&message, at) {
                prop_assert!(next <= message.len());
            }
            let tail = message.get(at..).unwrap_or_default();
            if let Ok((read, rest)) = NameRef::read(tail) {
                prop_assert_eq!(&[read.wire(), rest].concat(), tail);
                let folded = Folded::of(read);
                prop_assert_eq!(folded.as_ref(), read);
            }
        }
    }
}
