// Replays the writes of a workload on the RocksDB installed on this machine.
//
// Standard input is a sequence of records, an operation of one byte and then its fields, each a length (u32,
// little-endian) and its bytes; src/workload/debian.rs writes them. The first record is `O`; at the end of the
// input the database is closed. Every checkpoint is acknowledged with a line on standard output. Any fault ends
// the program with a message and exit code 1.
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

void check(const rocksdb::Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, status.ToString().c_str());
  std::exit(1);
}

// One field of the record being read.
std::string field() {
  unsigned char length[4];
  uint32_t bytes = 0;
  bool whole = std::fread(length, 1, 4, stdin) == 4;
  for (int i = 3; i >= 0; --i) bytes = bytes << 8 | length[i];
  std::string value(whole ? bytes : 0, '\0');
  whole = whole && std::fread(&value[0], 1, bytes, stdin) == bytes;
  if (!whole) {
    std::fprintf(stderr, "the input ends within a record\n");
    std::exit(1);
  }
  return value;
}

class Replay {
 public:
  // `options` is an option string; `dir` and `scratch` are new folders on one file system.
  void open(const std::string& options, const std::string& dir, const std::string& scratch) {
    check(rocksdb::GetOptionsFromString(rocksdb::Options(), options, &options_), "options");
    rocksdb::DB* db = nullptr;
    check(rocksdb::DB::Open(options_, dir, &db), "open");
    db_.reset(db);
    scratch_ = scratch;
    std::filesystem::create_directories(scratch_);
  }

  // Adds to the SSTs that `end_load` ingests. An empty key ends a file, so that the sender decides about sizes.
  void load(const std::string& key, const std::string& value) {
    if (key.empty()) return finish_file();
    if (!sst_) {
      files_.push_back(scratch_ + "/" + std::to_string(files_.size()) + ".sst");
      sst_.reset(new rocksdb::SstFileWriter(rocksdb::EnvOptions(), options_));
      check(sst_->Open(files_.back()), "open SST");
    }
    check(sst_->Put(key, value), "put into SST");
  }

  void end_load() {
    finish_file();
    rocksdb::IngestExternalFileOptions ingest;
    ingest.move_files = true;
    if (!files_.empty()) check(db_->IngestExternalFile(files_, ingest), "ingest");
    files_.clear();
    std::filesystem::remove_all(scratch_);
  }

  void put(const std::string& key, const std::string& value) { check(batch_.Put(key, value), "put"); }

  void write_batch() {
    check(db_->Write(rocksdb::WriteOptions(), &batch_), "write");
    batch_.Clear();
  }

  void flush() { check(db_->Flush(rocksdb::FlushOptions()), "flush"); }

  void compact_fully() {
    rocksdb::CompactRangeOptions compact;
    compact.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    check(db_->CompactRange(compact, nullptr, nullptr), "compact");
  }

  // RocksDB has had a call for this since 8.4 only: what is due must be absent several times in a row, because a
  // finished compaction schedules the next one a moment later.
  void settle() {
    for (int idle = 0; idle < 5;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(4));
      uint64_t busy = 0;
      for (const char* property : {"rocksdb.mem-table-flush-pending", "rocksdb.num-running-flushes",
                                   "rocksdb.compaction-pending", "rocksdb.num-running-compactions"}) {
        uint64_t value = 0;
        db_->GetIntProperty(property, &value);
        busy += value;
      }
      idle = busy == 0 ? idle + 1 : 0;
    }
  }

  void checkpoint(const std::string& dest) {
    rocksdb::Checkpoint* made = nullptr;
    check(rocksdb::Checkpoint::Create(db_.get(), &made), "checkpoint");
    std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
    check(checkpoint->CreateCheckpoint(dest, 0), "checkpoint");
    std::printf("done\n");
    std::fflush(stdout);
  }

 private:
  void finish_file() {
    if (sst_) check(sst_->Finish(), "finish SST");
    sst_.reset();
  }

  rocksdb::Options options_;
  std::unique_ptr<rocksdb::DB> db_;
  std::string scratch_;
  rocksdb::WriteBatch batch_;
  std::unique_ptr<rocksdb::SstFileWriter> sst_;
  std::vector<std::string> files_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("%d.%d.%d\n", ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH);
    return 0;
  }
  Replay replay;
  for (int operation = std::getchar(); operation != EOF; operation = std::getchar()) {
    switch (operation) {
      case 'O': {
        std::string options = field(), dir = field(), scratch = field();
        replay.open(options, dir, scratch);
        break;
      }
      case 'L': {
        std::string key = field(), value = field();
        replay.load(key, value);
        break;
      }
      case 'P': {
        std::string key = field(), value = field();
        replay.put(key, value);
        break;
      }
      case 'E': replay.end_load(); break;
      case 'W': replay.write_batch(); break;
      case 'F': replay.flush(); break;
      case 'C': replay.compact_fully(); break;
      case 'Z': replay.settle(); break;
      case 'K': replay.checkpoint(field()); break;
      default:
        std::fprintf(stderr, "unknown operation %d\n", operation);
        return 1;
    }
  }
  return 0;
}
