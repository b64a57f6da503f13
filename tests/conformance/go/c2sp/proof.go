package c2sp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// A Proof is a C2SP tlog-proof whose extra line holds the entry.
type Proof struct {
	Entry      []byte
	Index      int64
	Hashes     tlog.RecordProof
	Checkpoint []byte
}

// ReadProof reads a tlog-proof.
func ReadProof(file string) (*Proof, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, fmt.Errorf("%s is not a tlog-proof", file)
	}
	proof := &Proof{Checkpoint: checkpoint}
	proof.Entry, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return nil, fmt.Errorf("%s: extra: %w", file, err)
	}
	proof.Index, err = strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: index: %w", file, err)
	}
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		proof.Hashes = append(proof.Hashes, hash)
	}
	return proof, nil
}

// A Consistency is a consistency proof that a log handed out.
type Consistency struct {
	First, Second int64
	Hashes        tlog.TreeProof
}

// ReadConsistency reads a consistency proof in protobuf's JSON.
func ReadConsistency(file string) (*Consistency, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Proof struct {
			FirstSize  int64 `json:",string"`
			SecondSize int64 `json:",string"`
			Hashes     [][]byte
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	proof := &Consistency{First: answer.Proof.FirstSize, Second: answer.Proof.SecondSize}
	for _, bytes := range answer.Proof.Hashes {
		var hash tlog.Hash
		if copy(hash[:], bytes) != len(hash) || len(bytes) != len(hash) {
			return nil, fmt.Errorf("%s: a hash has %d bytes", file, len(bytes))
		}
		proof.Hashes = append(proof.Hashes, hash)
	}
	return proof, nil
}
