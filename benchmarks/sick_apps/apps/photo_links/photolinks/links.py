"""Links that let a browser read a private photo for some minutes."""

import boto3
from botocore.config import Config

BUCKET = "family-photos"
LIFETIME_S = 900


def photo_link(key):
    s3 = boto3.client(
        "s3",
        region_name="eu-central-1",
        endpoint_url="https://s3.example",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(signature_version="s3v4"),
    )
    return s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=LIFETIME_S)


def album_links(album):
    return {photo: photo_link(f"{album['owner']}/{photo}.jpg") for photo in album["photos"]}
