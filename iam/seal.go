package iam

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Sealer keeps secrets unreadable at rest: AES-256-GCM under the key of a key file. SigV4 needs the secret itself, so
// it cannot be hashed.
//
// While the key is being replaced the file has two: everything is sealed with the first, and what either has sealed is opened.
type Sealer struct {
	keys []sealingKey
}

// sealingKey is a key of the key file.
type sealingKey struct {
	secrets  cipher.AEAD
	sessions cipher.AEAD // under a key of its own
}

const (
	keySize    = 32
	sealFormat = 1 // the first byte of what Seal returns, then the nonce, then the ciphertext
)

// OpenSealer reads the key file at path: 32 bytes, raw or in base64, or two such keys in base64, each on a line; of a mode that lets
// nobody in but its owner and its group. Where there is none, create makes one, random and
// of mode 0600: only for a database that holds no sealed secret yet, since no new key opens the secrets of another.
// Losing the file loses every secret sealed with it; it is kept apart from backups of the database.
func OpenSealer(path string, create bool) (*Sealer, error) {
	keys, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, fmt.Errorf("the key file %s is missing; OUTCROP_KEY_FILE says where it is", path)
		}
		if err := makeKeyFile(path); err != nil {
			return nil, fmt.Errorf("make the key file: %w", err)
		}
		keys, err = readKeyFile(path)
	}
	if err != nil {
		return nil, err
	}
	return newSealer(keys)
}

func newSealer(keys [][]byte) (*Sealer, error) {
	s := &Sealer{}
	for _, key := range keys {
		secrets, err := newAEAD(key)
		if err != nil {
			return nil, err
		}
		derived, err := hkdf.Key(sha256.New, key, nil, "outcrop session tokens", keySize)
		if err != nil {
			return nil, err
		}
		sessions, err := newAEAD(derived)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, sealingKey{secrets, sessions})
	}
	return s, nil
}

// Rotating reports whether the key file has two keys: a rotation has begun and not ended.
func (s *Sealer) Rotating() bool { return len(s.keys) > 1 }

// BeginRotation puts a new key before the one in the file at path. A file that has two already keeps them: a rotation that did not
// end goes on, or the keys are somebody's own. What was sealed before is to be sealed anew with the Sealer that it returns; until
// EndRotation the file opens what either key has sealed, whatever happens in between.
func BeginRotation(path string) (*Sealer, error) {
	keys, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	if len(keys) == 1 {
		key := make([]byte, keySize)
		rand.Read(key)
		keys = [][]byte{key, keys[0]}
		if err := replaceKeyFile(path, keys); err != nil {
			return nil, fmt.Errorf("write the key file: %w", err)
		}
	}
	return newSealer(keys)
}

// EndRotation takes the old key out of the file at path: what is sealed with it is lost.
func EndRotation(path string) error {
	keys, err := readKeyFile(path)
	if err != nil {
		return err
	}
	if err := replaceKeyFile(path, keys[:1]); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	return nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// readKeyFile returns the keys of the file at path, one or two.
func readKeyFile(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	defer f.Close()
	// A group may read it: that is how containers are given their secrets. Windows has other permissions than these.
	if info, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	} else if mode := info.Mode().Perm(); mode&0o007 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("the key file %s has mode %04o: every user of this machine can use it; chmod 600 it", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	if len(b) == keySize {
		return [][]byte{b}, nil
	}
	var keys [][]byte
	for _, line := range bytes.Fields(b) {
		key, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil || len(key) != keySize || len(keys) == 2 {
			keys = nil
			break
		}
		keys = append(keys, key)
	}
	if keys == nil {
		return nil, fmt.Errorf("the key file %s must hold %d bytes, raw or in base64, or while they are replaced twice so many, in base64 on two lines", path, keySize)
	}
	return keys, nil
}

// makeKeyFile writes a new key beside path and links it there: another process that does the same at the same time
// either finds the whole file or makes it, and both then read the one that was first.
func makeKeyFile(path string) error {
	key := make([]byte, keySize)
	rand.Read(key)
	return placeKeyFile(path, [][]byte{key}, func(tmp string) error {
		if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// replaceKeyFile puts a file with keys in the place of the one at path, whole or not at all. It has the other's mode,
// owner and group. Of a link it is the file that the link leads to.
func replaceKeyFile(path string, keys [][]byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	old, err := os.Stat(path)
	if err != nil {
		return err
	}
	return placeKeyFile(path, keys, func(tmp string) error {
		if err := keepOwner(tmp, old); err != nil {
			return err
		}
		if err := os.Chmod(tmp, old.Mode().Perm()); err != nil {
			return err
		}
		return os.Rename(tmp, path)
	})
}

// placeKeyFile writes keys into a file of mode 0600 beside path, which place puts there. It is on the disk when it returns.
func placeKeyFile(path string, keys [][]byte, place func(tmp string) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	var text []byte
	for _, key := range keys {
		text = append(base64.StdEncoding.AppendEncode(text, key), '\n')
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := place(tmp.Name()); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return nil // a folder cannot be synced there
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Seal encrypts secret so that Open gives it back only for the same owner (an access key's id).
func (s *Sealer) Seal(secret, owner string) []byte {
	return seal(s.keys[0].secrets, []byte(secret), owner)
}

// Open decrypts what Seal made.
func (s *Sealer) Open(sealed []byte, owner string) (string, error) {
	for i := range s.keys {
		secret, known, err := unseal(s.keys[i].secrets, sealed, owner)
		if err == nil {
			return string(secret), nil
		}
		if !known {
			return "", fmt.Errorf("the secret of %s is not in a form that this version knows", owner)
		}
	}
	return "", fmt.Errorf("the secret of %s cannot be opened: the key file is not the one it was sealed with, or the stored secret is damaged", owner)
}

// Reseal seals the secret of k anew, with the first key.
func (s *Sealer) Reseal(k *AccessKey) error {
	secret, err := s.Open(k.Secret, k.ID)
	if err == nil {
		k.Secret = s.Seal(secret, k.ID)
	}
	return err
}

// sealSession encrypts what a session token says, for one access key id.
func (s *Sealer) sealSession(plain []byte, id string) []byte {
	return seal(s.keys[0].sessions, plain, id)
}

// openSession decrypts what sealSession made.
func (s *Sealer) openSession(sealed []byte, id string) (plain []byte, err error) {
	for i := range s.keys {
		if plain, _, err = unseal(s.keys[i].sessions, sealed, id); err == nil {
			return plain, nil
		}
	}
	return nil, err
}

func seal(aead cipher.AEAD, plain []byte, owner string) []byte {
	out := make([]byte, 1+aead.NonceSize(), 1+aead.NonceSize()+len(plain)+aead.Overhead())
	out[0] = sealFormat
	rand.Read(out[1:])
	return aead.Seal(out, out[1:], plain, []byte(owner))
}

// unseal decrypts what seal made; known says that it has the form of that.
func unseal(aead cipher.AEAD, sealed []byte, owner string) (plain []byte, known bool, err error) {
	n := 1 + aead.NonceSize()
	if len(sealed) < n || sealed[0] != sealFormat {
		return nil, false, errors.New("not sealed by this version")
	}
	plain, err = aead.Open(nil, sealed[1:n], sealed[n:], []byte(owner))
	return plain, true, err
}
