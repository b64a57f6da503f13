package c2sp

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

// A Log is the published side of a log, over HTTP or in a folder. It is a tlog.TileReader of C2SP
// tlog-tiles, whose paths leave the height out.
type Log struct {
	// URL is http://HOST:PORT or file:///FOLDER.
	URL string
	// Altered, if not empty, is a path whose content arrives with one bit changed.
	Altered string

	client *http.Client
	tiles  map[tlog.Tile][]byte // that were found to be of the tree
}

// NewLog returns the log at url.
func NewLog(url string) *Log {
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	transport.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	return &Log{
		URL:    strings.TrimSuffix(url, "/"),
		client: &http.Client{Transport: transport},
		tiles:  make(map[tlog.Tile][]byte),
	}
}

// Get reads one path.
func (l *Log) Get(path string) ([]byte, error) {
	response, err := l.client.Get(l.URL + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	content, err := io.ReadAll(response.Body)
	if err == nil && path == l.Altered && len(content) > 0 {
		content[len(content)/2] ^= 1
	}
	return content, err
}

func (l *Log) Height() int { return tileHeight }

func (l *Log) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, saved := l.tiles[tile]
		if !saved {
			var err error
			if data, err = l.Get(fmt.Sprintf("/tile/%d/", tile.L) + numbered(tile.N, tile.W)); err != nil {
				return nil, err
			}
		}
		all = append(all, data)
	}
	return all, nil
}

func (l *Log) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, tile := range tiles {
		l.tiles[tile] = data[i]
	}
}

// Bundles reads the entries of a tree, up to 256 at a time.
func (l *Log) Bundles(size int64, each func(first int64, entries [][]byte) error) error {
	const width = 1 << tileHeight
	for start := int64(0); start < size; start += width {
		count := size - start
		if count > width {
			count = width
		}
		path := "/tile/entries/" + numbered(start/width, int(count))
		bundle, err := l.Get(path)
		if err != nil {
			return err
		}
		var entries [][]byte
		for i := start; i < start+count; i++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return fmt.Errorf("%s ends in entry %d", path, i)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			entries = append(entries, bundle[2:end])
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return fmt.Errorf("%s has bytes behind its last entry", path)
		}
		if err := each(start, entries); err != nil {
			return err
		}
	}
	return nil
}

// numbered writes n in groups of three digits, all but the last behind an x, and the width of what is
// not full.
func numbered(n int64, width int) string {
	text := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		text = fmt.Sprintf("x%03d/%s", n%1000, text)
	}
	if width < 1<<tileHeight {
		text += fmt.Sprintf(".p/%d", width)
	}
	return text
}
