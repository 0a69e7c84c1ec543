package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// BucketOptions is how a bucket is reached. Credentials are those that the AWS SDK finds: environment, shared files, web
// identity, container, instance.
type BucketOptions struct {
	Endpoint  string // of a server that speaks S3; "" is AWS, or what the AWS SDK's own configuration says
	Region    string // "" is what that says, or else us-east-1
	Profile   string // of the shared AWS configuration files
	PathStyle bool   // the bucket's name stands in the path and not in the host's name
}

// bucket is a Target in S3.
type bucket struct {
	name, prefix string
	client       *s3.Client
}

// openBucket opens BUCKET/PREFIX. It asks nobody yet.
func openBucket(ctx context.Context, to string, o BucketOptions) (Target, error) {
	name, prefix, _ := strings.Cut(to, "/")
	prefix = strings.Trim(prefix, "/")
	if name == "" || prefix != "" && !fs.ValidPath(prefix) {
		return nil, fmt.Errorf("s3://%s is not of the form s3://BUCKET/PREFIX", to)
	}
	c, err := config.LoadDefaultConfig(ctx, config.WithSharedConfigProfile(o.Profile), config.WithRegion(o.Region))
	if err != nil {
		return nil, fmt.Errorf("s3://%s: %w", to, err)
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	client := s3.NewFromConfig(c, func(p *s3.Options) {
		if o.Endpoint != "" {
			p.BaseEndpoint = aws.String(o.Endpoint)
		}
		p.UsePathStyle = o.PathStyle
		// Bodies are files: the signature has their hash, which every server checks. Checksums behind bodies are not for all servers.
		p.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		p.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	return &bucket{name, prefix, client}, nil
}

func (b *bucket) key(key string) *string { return aws.String(path.Join(b.prefix, key)) }

func (b *bucket) URI(key string) string { return "s3://" + b.name + "/" + *b.key(key) }

func (b *bucket) Listed(key string) string { return b.URI(key) }

// patience is how long one request may take, and one that has a file of so many bytes: at 256 kB a second.
func patience(bytes int64) time.Duration {
	return time.Minute + time.Duration(bytes/(256<<10))*time.Second
}

func (b *bucket) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience(limit))
	defer cancel()
	o, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: b.key(key)})
	if _, ok := errors.AsType[*types.NoSuchKey](err); ok {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	defer o.Body.Close()
	return readLimited(o.Body, limit)
}

func (b *bucket) Size(ctx context.Context, key string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience(0))
	defer cancel()
	o, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: b.key(key)})
	if _, ok := errors.AsType[*types.NotFound](err); ok {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	return aws.ToInt64(o.ContentLength), nil
}

// Put puts an object: S3 shows it whole or not at all.
func (b *bucket) Put(ctx context.Context, key string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience(info.Size()))
	defer cancel()
	_, err = b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.name, Key: b.key(key), Body: f, ContentLength: aws.Int64(info.Size()), ContentType: aws.String(contentType(key)),
	})
	return err
}

func contentType(key string) string {
	switch path.Ext(key) {
	case ".json":
		return "application/json"
	case ".gz":
		return "application/gzip"
	}
	return "application/vnd.apache.parquet"
}
