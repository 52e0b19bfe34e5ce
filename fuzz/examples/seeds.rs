//! Writes what each decoder takes into the folder of its fuzz target: `seeds FOLDER`.

use snapshot_vault::testing::Decoder;
use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let corpus = PathBuf::from(env::args_os().nth(1).expect("the folder to write to"));
    for decoder in Decoder::ALL {
        let folder = corpus.join(target(decoder));
        fs::create_dir_all(&folder)?;
        for (number, sample) in decoder.samples().iter().enumerate() {
            fs::write(folder.join(format!("sample-{number}")), sample)?;
        }
    }
    Ok(())
}

const fn target(decoder: Decoder) -> &'static str {
    match decoder {
        Decoder::VaultDescription => "vault_description",
        Decoder::DomainKey => "domain_key",
        Decoder::PackHeader => "pack_header",
        Decoder::PackFooter => "pack_footer",
        Decoder::Record => "record",
        Decoder::RecordContent => "record_content",
        Decoder::IndexPage => "index_page",
        Decoder::PageMap => "page_map",
        Decoder::Manifest => "manifest",
        Decoder::ManifestBody => "manifest_body",
    }
}
