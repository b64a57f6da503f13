// Package c2sp reads what C2SP logs and witnesses publish, by Go's own implementation of notes and
// transparency logs (golang.org/x/mod/sumdb), which shares no code with the suite.
package c2sp

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// OpenCheckpoint verifies the log's signature and reads size and root. It also returns the note's
// text.
func OpenCheckpoint(signed []byte, log note.Verifier) (tlog.Tree, string, error) {
	opened, err := note.Open(signed, note.VerifierList(log))
	if err != nil {
		return tlog.Tree{}, "", err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != log.Name() {
		return tlog.Tree{}, "", fmt.Errorf("not a checkpoint of %s: %q", log.Name(), opened.Text)
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

const (
	ed25519Key      = 1
	cosignatureKey  = 4
	timestampLength = 8
)

// A Cosigner verifies timestamped Ed25519 cosignatures (C2SP tlog-cosignature, type 0x04).
type Cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewCosigner reads a verifier key of type 0x04.
func NewCosigner(vkey string) (*Cosigner, error) {
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
	if len(key) != 1+ed25519.PublicKeySize || key[0] != cosignatureKey {
		return nil, fmt.Errorf("%q is not a cosigner's vkey", vkey)
	}
	return &Cosigner{parts[0], uint32(hash), key[1:]}, nil
}

func (c *Cosigner) Name() string    { return c.name }
func (c *Cosigner) KeyHash() uint32 { return c.hash }
func (c *Cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != timestampLength+ed25519.SignatureSize {
		return false
	}
	header := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(header), msg...), sig[timestampLength:])
}

// Time returns the time of a cosignature's base64 text, in seconds since 1970.
func Time(signature note.Signature) (int64, error) {
	const keyID = 4
	bytes, err := base64.StdEncoding.DecodeString(signature.Base64)
	if err != nil || len(bytes) != keyID+timestampLength+ed25519.SignatureSize {
		return 0, fmt.Errorf("%q is not a cosignature", signature.Base64)
	}
	return int64(binary.BigEndian.Uint64(bytes[keyID:])), nil
}

// CountCosignatures counts the policy's witnesses whose cosignature of the checkpoint holds. One that
// does not hold is an error.
func CountCosignatures(policyFile string, checkpoint []byte) (int, error) {
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
		witness, err := NewCosigner(fields[2])
		if err != nil {
			return 0, err
		}
		opened, err := note.Open(checkpoint, note.VerifierList(witness))
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

// Keys are those of a name, for tests only: anybody can derive them from it.
type Keys struct {
	Private string // of Go's sumdb/note
	Log     string // verifier key for signatures
	Witness string // verifier key for cosignatures
}

// DeriveKeys returns the keys of a name.
func DeriveKeys(name string) Keys {
	seed := sha256.Sum256([]byte("test key of " + name))
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	vkey := func(kind byte, key []byte) string {
		key = append([]byte{kind}, key...)
		id := sha256.Sum256(append([]byte(name+"\n"), key...))
		return fmt.Sprintf("%s+%08x+%s", name, id[:4], base64.StdEncoding.EncodeToString(key))
	}
	log := vkey(ed25519Key, public)
	id := strings.Split(log, "+")[1]
	private := base64.StdEncoding.EncodeToString(append([]byte{ed25519Key}, seed[:]...))
	return Keys{
		Private: fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, id, private),
		Log:     log,
		Witness: vkey(cosignatureKey, public),
	}
}
