// tlog-check verifies a log that is published in the C2SP formats.
//
//	tlog-check -vkey VKEY -url URL [-checkpoint FILE]… [-proof FILE] [-consistency FILE]
//	           [-policy FILE -witnesses N] [-alter PATH]
//
// It opens the checkpoint; reads every tile and entry below URL, recomputes the root from them, and
// proves each entry. Each -checkpoint, which the log published before, must be of a tree that the
// later ones extend. The proofs of the other flags, which the log handed out, must be those that the
// tiles give. -witnesses counts the policy's cosignatures of the last -checkpoint, or else of the
// proof's, or else of the published one. -alter changes one bit of what arrives from PATH, "/tile/0/000".
//
// It exits with 1 and the first thing that does not hold.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"countersign/tests/conformance/c2sp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type options struct {
	vkey, url, policy, proof, consistency, alter string
	checkpoints                                  []string
	witnesses                                    int
}

func main() {
	var o options
	flag.StringVar(&o.vkey, "vkey", "", "the log's verifier key")
	flag.StringVar(&o.url, "url", "", "where the log's tiles are")
	flag.StringVar(&o.policy, "policy", "", "C2SP tlog-policy with the witnesses' keys")
	flag.StringVar(&o.proof, "proof", "", "a tlog-proof whose extra line holds the entry")
	flag.StringVar(&o.consistency, "consistency", "", "a consistency proof, in protobuf's JSON")
	flag.StringVar(&o.alter, "alter", "", "path that arrives altered")
	flag.IntVar(&o.witnesses, "witnesses", 0, "how many witnesses must have cosigned")
	flag.Func("checkpoint", "an earlier checkpoint; repeatable, in the order of publication",
		func(file string) error {
			o.checkpoints = append(o.checkpoints, file)
			return nil
		})
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "tlog-check:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	verifier, err := note.NewVerifier(o.vkey)
	if err != nil {
		return fmt.Errorf("vkey: %w", err)
	}
	log := c2sp.NewLog(o.url)
	log.Altered = o.alter
	cosigned, err := log.Get("/checkpoint")
	if err != nil {
		return err
	}
	tree, _, err := c2sp.OpenCheckpoint(cosigned, verifier)
	if err != nil {
		return fmt.Errorf("published checkpoint: %w", err)
	}
	hashes := tlog.TileHashReader(tree, log)
	if err := checkEntries(log, tree, hashes); err != nil {
		return err
	}
	fmt.Printf("tree of %d: root, %d entries and their proofs hold\n", tree.N, tree.N)

	if o.proof != "" {
		if cosigned, err = checkProof(o.proof, verifier, hashes); err != nil {
			return err
		}
	}
	if o.consistency != "" {
		if err := checkConsistency(o.consistency, hashes, tree); err != nil {
			return err
		}
	}
	earlier := make([]tlog.Tree, 0, len(o.checkpoints)+1)
	for _, file := range o.checkpoints {
		if cosigned, err = os.ReadFile(file); err != nil {
			return err
		}
		at, _, err := c2sp.OpenCheckpoint(cosigned, verifier)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		earlier = append(earlier, at)
	}
	if err := checkHistory(append(earlier, tree), hashes); err != nil {
		return err
	}

	if o.policy == "" {
		return nil
	}
	count, err := c2sp.CountCosignatures(o.policy, cosigned)
	if err != nil {
		return err
	}
	if count < o.witnesses {
		return fmt.Errorf("%d witnesses cosigned, want %d", count, o.witnesses)
	}
	fmt.Printf("%d witnesses cosigned\n", count)
	return nil
}

// checkEntries proves each published entry, in two ways: the tiles, which TileHashReader compares with
// the root, hold its hash; and in the tree made of all entries its proof leads to the root.
func checkEntries(log *c2sp.Log, tree tlog.Tree, hashes tlog.HashReader) error {
	var stored memory
	var leaves []tlog.Hash
	err := log.Bundles(tree.N, func(first int64, entries [][]byte) error {
		indexes := make([]int64, len(entries))
		for i := range entries {
			indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		want, err := hashes.ReadHashes(indexes)
		if err != nil {
			return fmt.Errorf("hashes from entry %d on: %w", first, err)
		}
		for i, entry := range entries {
			leaf := tlog.RecordHash(entry)
			if leaf != want[i] {
				return fmt.Errorf("entry %d is not what the tree holds", first+int64(i))
			}
			more, err := tlog.StoredHashesForRecordHash(first+int64(i), leaf, stored)
			if err != nil {
				return err
			}
			stored = append(stored, more...)
			leaves = append(leaves, leaf)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, leaf := range leaves {
		proof, err := tlog.ProveRecord(tree.N, int64(i), stored)
		if err != nil {
			return fmt.Errorf("proving entry %d: %w", i, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), leaf); err != nil {
			return fmt.Errorf("inclusion of entry %d: %w", i, err)
		}
	}
	return nil
}

// memory holds the hashes of a tree in the order of tlog.StoredHashIndex.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = m[index]
	}
	return found, nil
}

// checkProof verifies a proof and returns its checkpoint.
func checkProof(file string, log note.Verifier, hashes tlog.HashReader) ([]byte, error) {
	proof, err := c2sp.ReadProof(file)
	if err != nil {
		return nil, err
	}
	tree, _, err := c2sp.OpenCheckpoint(proof.Checkpoint, log)
	if err != nil {
		return nil, fmt.Errorf("the proof's checkpoint: %w", err)
	}
	leaf := tlog.RecordHash(proof.Entry)
	if err := tlog.CheckRecord(proof.Hashes, tree.N, tree.Hash, proof.Index, leaf); err != nil {
		return nil, fmt.Errorf("inclusion: %w", err)
	}
	derived, err := tlog.ProveRecord(tree.N, proof.Index, hashes)
	if err != nil {
		return nil, fmt.Errorf("deriving the inclusion proof: %w", err)
	}
	if !sameHashes(derived, proof.Hashes) {
		return nil, errors.New("the inclusion proof is not the one that the tiles give")
	}
	fmt.Printf("entry %d is in the tree of %d\n", proof.Index, tree.N)
	return proof.Checkpoint, nil
}

func checkConsistency(file string, hashes tlog.HashReader, tree tlog.Tree) error {
	given, err := c2sp.ReadConsistency(file)
	if err != nil {
		return err
	}
	if given.First < 1 || given.Second > tree.N || given.First >= given.Second {
		return fmt.Errorf("%s: sizes %d and %d tell nothing about a tree of %d", file, given.First,
			given.Second, tree.N)
	}
	first, err := treeOf(given.First, hashes)
	if err != nil {
		return err
	}
	second, err := treeOf(given.Second, hashes)
	if err != nil {
		return err
	}
	derived, err := prove(first, second, hashes)
	if err != nil {
		return err
	}
	if !sameHashes(derived, given.Hashes) {
		return errors.New("the consistency proof is not the one that the tiles give")
	}
	fmt.Printf("the tree of %d is a prefix of the tree of %d\n", first.N, second.N)
	return nil
}

// checkHistory verifies trees that were published one after the other: their sizes never fall, and
// each is a prefix of all that follow.
func checkHistory(trees []tlog.Tree, hashes tlog.HashReader) error {
	for i, first := range trees {
		for _, second := range trees[i+1:] {
			if first.N > second.N {
				return fmt.Errorf("a tree of %d was published before one of %d", first.N, second.N)
			}
			if first.N == second.N && first.Hash != second.Hash {
				return fmt.Errorf("two trees of %d were published", first.N)
			}
			if first.N == 0 || first.N == second.N {
				continue
			}
			if _, err := prove(first, second, hashes); err != nil {
				return err
			}
		}
	}
	if len(trees) > 1 {
		fmt.Printf("each of %d checkpoints extends those before it\n", len(trees))
	}
	return nil
}

func treeOf(size int64, hashes tlog.HashReader) (tlog.Tree, error) {
	root, err := tlog.TreeHash(size, hashes)
	return tlog.Tree{N: size, Hash: root}, err
}

// prove derives and checks the proof that first is a prefix of second.
func prove(first, second tlog.Tree, hashes tlog.HashReader) (tlog.TreeProof, error) {
	proof, err := tlog.ProveTree(second.N, first.N, hashes)
	if err != nil {
		return nil, fmt.Errorf("deriving the consistency proof: %w", err)
	}
	if err := tlog.CheckTree(proof, second.N, second.Hash, first.N, first.Hash); err != nil {
		return nil, fmt.Errorf("consistency of %d and %d: %w", first.N, second.N, err)
	}
	return proof, nil
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
