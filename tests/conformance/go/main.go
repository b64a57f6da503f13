// tlog-check verifies a running log by Go's own implementation of notes and transparency logs
// (golang.org/x/mod/sumdb), which shares no code with the log.
//
//	tlog-check -vkey VKEY -url URL -policy FILE -proof FILE -consistency FILE -witnesses N
//
// It opens the checkpoint; reads every entry and tile below URL and recomputes the root from them;
// derives the inclusion proof of the tlog-proof's entry and the consistency proof from the tiles and
// compares both with what the log handed out; and checks the witnesses' cosignatures. It exits with 1
// and the first thing that does not hold.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

var client = &http.Client{}

func main() {
	vkey := flag.String("vkey", "", "the log's verifier key")
	url := flag.String("url", "", "where the log's tiles are")
	policy := flag.String("policy", "", "C2SP tlog-policy with the witnesses' keys")
	proof := flag.String("proof", "", "a tlog-proof whose extra line holds the entry")
	consistency := flag.String("consistency", "", "a consistency proof, in protobuf's JSON")
	witnesses := flag.Int("witnesses", 0, "how many witnesses must have cosigned")
	flag.Parse()
	if err := run(*vkey, *url, *policy, *proof, *consistency, *witnesses); err != nil {
		fmt.Fprintln(os.Stderr, "tlog-check:", err)
		os.Exit(1)
	}
}

func run(vkey, url, policyFile, proofFile, consistencyFile string, witnesses int) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("vkey: %w", err)
	}
	published, err := get(url + "/checkpoint")
	if err != nil {
		return err
	}
	tree, _, err := openCheckpoint(published, verifier)
	if err != nil {
		return fmt.Errorf("published checkpoint: %w", err)
	}
	reader := &tileReader{url: url}
	hashes := tlog.TileHashReader(tree, reader)
	if err := checkEntries(url, tree, hashes); err != nil {
		return err
	}
	fmt.Printf("tree of %d: root and %d entries hold\n", tree.N, tree.N)

	proof, err := parseProof(proofFile)
	if err != nil {
		return err
	}
	proofTree, text, err := openCheckpoint(proof.checkpoint, verifier)
	if err != nil {
		return fmt.Errorf("the proof's checkpoint: %w", err)
	}
	leaf := tlog.RecordHash(proof.extra)
	if err := tlog.CheckRecord(proof.hashes, proofTree.N, proofTree.Hash, proof.index, leaf); err != nil {
		return fmt.Errorf("inclusion: %w", err)
	}
	derived, err := tlog.ProveRecord(proofTree.N, proof.index, hashes)
	if err != nil {
		return fmt.Errorf("deriving the inclusion proof: %w", err)
	}
	if !sameHashes(derived, proof.hashes) {
		return errors.New("the inclusion proof is not the one that the tiles give")
	}
	fmt.Printf("entry %d is in the tree of %d\n", proof.index, proofTree.N)

	if err := checkConsistency(consistencyFile, hashes, tree); err != nil {
		return err
	}
	count, err := checkCosignatures(policyFile, text, proof.checkpoint)
	if err != nil {
		return err
	}
	if count < witnesses {
		return fmt.Errorf("%d witnesses cosigned, want %d", count, witnesses)
	}
	fmt.Printf("%d witnesses cosigned\n", count)
	return nil
}

// openCheckpoint verifies the log's signature and reads size and root.
func openCheckpoint(signed []byte, verifier note.Verifier) (tlog.Tree, string, error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, "", err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, "", fmt.Errorf("not a checkpoint of %s: %q", verifier.Name(), opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, "", err
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, "", err
	}
	return tlog.Tree{N: size, Hash: root}, opened.Text, nil
}

// checkEntries compares the hash of each published entry with the tiles, which TileHashReader
// compares with the root.
func checkEntries(url string, tree tlog.Tree, hashes tlog.HashReader) error {
	const width = 1 << tileHeight
	for start := int64(0); start < tree.N; start += width {
		count := tree.N - start
		if count > width {
			count = width
		}
		path := url + "/tile/entries/" + number(start/width)
		if count < width {
			path += fmt.Sprintf(".p/%d", count)
		}
		bundle, err := get(path)
		if err != nil {
			return err
		}
		for i := start; i < start+count; i++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return fmt.Errorf("%s ends in entry %d", path, i)
			}
			size := int(binary.BigEndian.Uint16(bundle))
			want, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
			if err != nil {
				return fmt.Errorf("hash of entry %d: %w", i, err)
			}
			if tlog.RecordHash(bundle[2:2+size]) != want[0] {
				return fmt.Errorf("entry %d is not what the tree holds", i)
			}
			bundle = bundle[2+size:]
		}
		if len(bundle) != 0 {
			return fmt.Errorf("%s has bytes behind its last entry", path)
		}
	}
	return nil
}

func checkConsistency(file string, hashes tlog.HashReader, tree tlog.Tree) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var answer struct {
		Proof struct {
			FirstSize  int64 `json:",string"`
			SecondSize int64 `json:",string"`
			Hashes     [][]byte
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var given tlog.TreeProof
	for _, bytes := range answer.Proof.Hashes {
		var hash tlog.Hash
		if copy(hash[:], bytes) != len(hash) || len(bytes) != len(hash) {
			return fmt.Errorf("%s: a hash has %d bytes", file, len(bytes))
		}
		given = append(given, hash)
	}
	first, second := answer.Proof.FirstSize, answer.Proof.SecondSize
	if first < 1 || second > tree.N || first >= second {
		return fmt.Errorf("%s: sizes %d and %d tell nothing about a tree of %d", file, first, second, tree.N)
	}
	derived, err := tlog.ProveTree(second, first, hashes)
	if err != nil {
		return fmt.Errorf("deriving the consistency proof: %w", err)
	}
	if !sameHashes(derived, given) {
		return errors.New("the consistency proof is not the one that the tiles give")
	}
	firstRoot, err := tlog.TreeHash(first, hashes)
	if err != nil {
		return err
	}
	secondRoot, err := tlog.TreeHash(second, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(given, second, secondRoot, first, firstRoot); err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	fmt.Printf("the tree of %d is a prefix of the tree of %d\n", first, second)
	return nil
}

// checkCosignatures counts the policy's witnesses whose cosignature/v1 of the checkpoint holds.
func checkCosignatures(policyFile, text string, signed []byte) (int, error) {
	policy, err := os.ReadFile(policyFile)
	if err != nil {
		return 0, err
	}
	count := 0
	for _, line := range strings.Split(string(policy), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "witness" {
			continue
		}
		witness, err := newCosigner(fields[2])
		if err != nil {
			return 0, err
		}
		opened, err := note.Open(signed, note.VerifierList(witness))
		var unverified *note.UnverifiedNoteError
		if errors.As(err, &unverified) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("witness %s: %w", fields[1], err)
		}
		count += len(opened.Sigs)
	}
	return count, nil
}

// cosigner verifies timestamped Ed25519 cosignatures (C2SP tlog-cosignature, type 0x04).
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(vkey string) (*cosigner, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("malformed vkey %q", vkey)
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	if len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
		return nil, fmt.Errorf("%q is not a cosigner's vkey", vkey)
	}
	return &cosigner{parts[0], uint32(hash), key[1:]}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	header := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(header), msg...), sig[8:])
}

type tlogProof struct {
	extra      []byte
	index      int64
	hashes     tlog.RecordProof
	checkpoint []byte
}

func parseProof(file string) (*tlogProof, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, fmt.Errorf("%s is not a tlog-proof", file)
	}
	proof := &tlogProof{checkpoint: checkpoint}
	if proof.extra, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra ")); err != nil {
		return nil, fmt.Errorf("%s: extra: %w", file, err)
	}
	if proof.index, err = strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64); err != nil {
		return nil, fmt.Errorf("%s: index: %w", file, err)
	}
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		proof.hashes = append(proof.hashes, hash)
	}
	return proof, nil
}

// tileReader reads the tiles of C2SP tlog-tiles, which leave the height out of their paths.
type tileReader struct{ url string }

func (r *tileReader) Height() int { return tileHeight }

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := fmt.Sprintf("%s/tile/%d/%s", r.url, tile.L, number(tile.N))
		if tile.W < 1<<tile.H {
			path += fmt.Sprintf(".p/%d", tile.W)
		}
		data, err := get(path)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// number writes n in groups of three digits, all but the last behind an x.
func number(n int64) string {
	text := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		text = fmt.Sprintf("x%03d/%s", n%1000, text)
	}
	return text
}

func get(url string) ([]byte, error) {
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}

func sameHashes(a, b []tlog.Hash) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
