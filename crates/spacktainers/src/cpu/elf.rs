//! What of an ELF file is code, and the names in it.
//!
//! Source: System V ABI, "Sections", "Symbol Table".

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};

/// Symbols that are read of one file.
const MOST_SYMBOLS: usize = 4 << 20;

/// The code of an x86-64 program or library.
pub(super) struct CodeOf<'a> {
    /// Bytes and the address of the first.
    pub(super) parts: Vec<(u64, &'a [u8])>,
    /// Functions by address: address, size, name.
    functions: Vec<(u64, u64, &'a [u8])>,
    /// Whether a name says that it asks the processor, or lets the linker choose.
    pub(super) chooses: bool,
}

/// Names that only code has which asks the processor. Source: GCC's `cpuinfo` in libgcc, `<cpuid.h>`.
const ASKING: [&[u8]; 4] = [
    b"__cpu_model",
    b"__cpu_features2",
    b"__cpu_indicator_init",
    b"__get_cpuid",
];

/// The code of `data`; none if it is not a program or library for x86-64, or is broken.
pub(super) fn code_of(data: &[u8]) -> Option<CodeOf<'_>> {
    let header = FileHeader64::<LittleEndian>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let kind = header.e_type(endian);
    if header.e_machine(endian) != elf::EM_X86_64 || (kind != elf::ET_EXEC && kind != elf::ET_DYN) {
        return None;
    }
    let mut code = CodeOf {
        parts: Vec::new(),
        functions: Vec::new(),
        chooses: false,
    };
    let sections = header.sections(endian, data).ok()?;
    for section in sections.iter() {
        let is_code = section.sh_type(endian) == elf::SHT_PROGBITS
            && section.sh_flags(endian).0 & elf::SHF_EXECINSTR.0 != 0;
        if is_code && let Ok(bytes) = section.data(endian, data) {
            code.parts.push((section.sh_addr(endian), bytes));
        }
    }
    if code.parts.is_empty() {
        // Without sections: what is mapped to be executed.
        for segment in header.program_headers(endian, data).ok()? {
            let is_code = segment.p_type(endian) == elf::PT_LOAD
                && segment.p_flags(endian).0 & elf::PF_X.0 != 0;
            if is_code && let Ok(bytes) = segment.data(endian, data) {
                code.parts.push((segment.p_vaddr(endian), bytes));
            }
        }
    }
    for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
        let Ok(symbols) = sections.symbols(endian, data, kind) else {
            continue;
        };
        for symbol in symbols.iter().take(MOST_SYMBOLS) {
            let Ok(name) = symbol.name(endian, symbols.strings()) else {
                continue;
            };
            code.chooses |= ASKING.contains(&name);
            if symbol.is_undefined(endian) {
                continue;
            }
            match symbol.st_type() {
                elf::STT_GNU_IFUNC => code.chooses = true,
                elf::STT_FUNC => {
                    let (address, size) = (symbol.st_value(endian), symbol.st_size(endian));
                    code.functions.push((address, size, name));
                }
                _ => {}
            }
        }
    }
    code.functions.sort_unstable();
    Some(code)
}

impl<'a> CodeOf<'a> {
    /// The function at an address.
    pub(super) fn function(&self, address: u64) -> Option<&'a [u8]> {
        let behind = self
            .functions
            .partition_point(|(start, ..)| *start <= address);
        let (start, size, name) = self.functions.get(behind.checked_sub(1)?)?;
        // Functions of assembly say no size.
        (*size == 0 || address - start < *size).then_some(*name)
    }
}
